"""The AI labeler: read a model's one-letter answer as a probability, in both presentation orders.

The log-odds of the letters are the sum of the model's preference and its position bias. With the two orders

    l1 = logit P(a better | a shown as A),    l2 = logit P(a better | a shown as B),

a constant position bias enters l1 and l2 with opposite signs and cancels in the mean (l1 + l2) / 2. It would
not cancel in the mean of the probabilities: there, a bias of 4 nats turns a true 0.62 into 0.51.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import Protocol

from constitution.draw import draw, in_scope
from constitution.schema import Constitution, Principle
from core.digests import record_id
from core.records import Comparison, Judgment, OrderLogits, Verdict
from engines.protocols import ChoiceRequest, ChoiceScorer, ChoiceScores, Engine
from labelers.config import ANNOTATOR_FIELDS, LabelConfig
from labelers.questions import LETTERS, Questions
from prompts.environment import PromptTemplates

AI_LABELER = "ai"


class KeyedChoiceScorer(ChoiceScorer, Protocol):
    """A choice scorer that can compute the digest of everything that determines a request's answer."""

    def key(self, request: ChoiceRequest) -> str:
        """Return the request's digest."""
        ...


@dataclass(frozen=True)
class AILabeler:
    """Labeler that asks a model to compare answers under principles drawn from the constitution."""

    constitution: Constitution
    engine: KeyedChoiceScorer
    config: LabelConfig = field(default_factory=LabelConfig)
    seed: int = 0
    templates: PromptTemplates = field(default_factory=PromptTemplates)

    async def label(self, comparison: Comparison) -> tuple[Judgment, ...]:
        """Return the judgments of a comparison under the principles drawn for it.

        Raises:
            RequestError: if the two answers are too long for the labeler.
        """
        asked = (self.judge(comparison, principle) for principle in self.principles_for(comparison))
        return tuple(await asyncio.gather(*asked))

    def principles_for(self, comparison: Comparison) -> tuple[Principle, ...]:
        """Return the principles drawn for a comparison, without the machine-checkable ones."""
        candidates = [
            p for p in self.constitution.principles if p.check is None and in_scope(p, comparison.prompt)
        ]
        return draw(candidates, self.config.principles, self.seed, comparison.prompt.id, "label")

    async def judge(self, comparison: Comparison, principle: Principle) -> Judgment:
        """Judge a comparison under one principle, in both presentation orders, and return the judgment.

        Raises:
            RequestError: if the two answers are too long for the labeler; the comparison is then skipped.
        """
        a_first = self.request(comparison, principle, a_first=True)
        b_first = self.request(comparison, principle, a_first=False)
        one, two = await asyncio.gather(self.engine.choose(a_first), self.engine.choose(b_first))
        orders = OrderLogits(
            a_first=one.logprobs[0] - one.logprobs[1], b_first=two.logprobs[1] - two.logprobs[0]
        )
        # One order without a readable letter makes the judgment unparsed: its log-odds mean nothing.
        mass = min(one.answer_mass, two.answer_mass)
        parsed = mass >= self.config.min_answer_mass
        p_a = probability(orders)
        return Judgment(
            id=record_id(
                "judgment",
                comparison.id,
                AI_LABELER,
                principle.id,
                self.config.model_dump(mode="json", exclude=set(ANNOTATOR_FIELDS)),
                self.engine.key(a_first),
                self.engine.key(b_first),
            ),
            comparison_id=comparison.id,
            labeler=AI_LABELER,
            model=one.model,
            verdict=verdict_of(p_a) if parsed else "unparsed",
            p_a=p_a if parsed else None,
            principle_id=principle.id,
            orders=orders,
            answer_mass=mass,
            raw=None if parsed else _top_tokens(one, two),
        )

    def request(self, comparison: Comparison, principle: Principle, *, a_first: bool) -> ChoiceRequest:
        """Return the request to the labeler in one presentation order."""
        first, second = comparison.response_a, comparison.response_b
        if not a_first:
            first, second = second, first
        return Questions(self.constitution, self.templates).comparison(
            principle, comparison.prompt, first, second
        )


def require_labeler(engine: Engine, templates: PromptTemplates) -> None:
    """Raise an error if the engine's model cannot answer with a letter as its first token.

    Call this before sending any request.

    Raises:
        ConfigError: if the model may think before it answers.
        EngineError: if a letter is not a single token of its tokenizer.
    """
    engine.require_choices(templates.prefill("comparison"), LETTERS)


def probability(orders: OrderLogits) -> float:
    """Return the probability that `a` is better: the sigmoid of the mean log-odds of both orders."""
    mean = (orders.a_first + orders.b_first) / 2
    return 1 / (1 + math.exp(-mean)) if mean >= 0 else math.exp(mean) / (1 + math.exp(mean))


def verdict_of(p_a: float) -> Verdict:
    """Return the verdict that a probability implies; a tie is exactly one half."""
    if p_a == 0.5:
        return "tie"
    return "a" if p_a > 0.5 else "b"


def _top_tokens(one: ChoiceScores, two: ChoiceScores) -> str:
    """Return the model's most likely token in each order; stored with unparsed judgments only."""
    return f"{one.top_token!r} (a first), {two.top_token!r} (b first)"
