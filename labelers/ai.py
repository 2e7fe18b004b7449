"""The AI labeler: read a model's one-letter answer as a probability, in both presentation orders.

The log-odds of the letters are the sum of the model's preference and its position bias. With the two orders

    l1 = logit P(a better | a shown as A),    l2 = logit P(a better | a shown as B),

a constant position bias enters l1 and l2 with opposite signs and cancels in the mean (l1 + l2) / 2. It would
not cancel in the mean of the probabilities: there, a bias of 4 nats turns a true 0.62 into 0.51.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from constitution.draw import draw, in_scope
from constitution.schema import Constitution, Principle
from core.digests import record_id
from core.records import Comparison, Judgment, OrderLogits, Verdict
from engines.protocols import ChoiceRequest, ChoiceScorer, ChoiceScores, Engine
from labelers.config import AGGREGATION_FIELDS, LabelConfig, LabelMode
from labelers.questions import LETTERS, WORDS, questions_for
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
        requests = [self.request(comparison, principle, a_first=first) for first in (True, False)]
        one, two = await asyncio.gather(*map(self.engine.choose, requests))
        # One answer without a readable letter or word makes the judgment unparsed: its log-odds mean nothing.
        masses = [mass for mass in (one.answer_mass, two.answer_mass) if mass is not None]
        parsed = all(is_readable(scores, self.config.min_answer_mass) for scores in (one, two))
        preference = self._preference(one, two)
        p_a = preference.p_a
        return Judgment(
            id=record_id(
                "judgment",
                comparison.id,
                AI_LABELER,
                principle.id,
                self.config.model_dump(mode="json", exclude=set(AGGREGATION_FIELDS)),
                *map(self.engine.key, requests),
            ),
            comparison_id=comparison.id,
            labeler=AI_LABELER,
            model=one.model,
            verdict=verdict_of(p_a) if parsed else "unparsed",
            p_a=p_a if parsed else None,
            principle_id=principle.id,
            orders=preference.orders,
            margin=preference.margin,
            answer_mass=min(masses, default=None),
            raw=None if parsed else _top_tokens(one, two, self.config.mode),
        )

    def request(self, comparison: Comparison, principle: Principle, *, a_first: bool) -> ChoiceRequest:
        """Return the request to the labeler in one presentation order.

        Where each answer is judged alone (`pointwise`), it is the request about the answer that comes first.
        """
        questions = questions_for(self.engine, self.constitution, self.templates)
        first, second = comparison.response_a, comparison.response_b
        if not a_first:
            first, second = second, first
        if self.config.mode == "pointwise":
            return replace(questions.pointwise(principle, comparison.prompt, first), purpose="label")
        return questions.comparison(principle, comparison.prompt, first, second)

    def _preference(self, one: ChoiceScores, two: ChoiceScores) -> _Preference:
        """Return what the answers to both requests say."""
        first = one.logprobs[0] - one.logprobs[1]
        if self.config.mode == "pointwise":
            log_odds = first - (two.logprobs[0] - two.logprobs[1])
            return _Preference(log_odds, margin=log_odds)
        orders = OrderLogits(a_first=first, b_first=two.logprobs[1] - two.logprobs[0])
        return _Preference((orders.a_first + orders.b_first) / 2, orders)


class _Preference(NamedTuple):
    """Which of two answers is better."""

    log_odds: float
    """log P(a better) - log P(b better)."""
    orders: OrderLogits | None = None
    margin: float | None = None
    """The log-odds where they are no mean of two orders."""

    @property
    def p_a(self) -> float:
        return logistic(self.log_odds)


def require_labeler(engine: Engine, templates: PromptTemplates, mode: LabelMode = "choice") -> None:
    """Raise an error if the engine's model cannot answer with a letter or word as its first token.

    Call this before sending any request.

    Raises:
        ConfigError: if the model may think before it answers.
        EngineError: if a letter is not a single token of its tokenizer.
    """
    if mode == "pointwise":
        engine.require_choices(templates.prefill("pointwise"), WORDS)
    else:
        engine.require_choices(templates.prefill("comparison"), LETTERS)


def is_readable(scores: ChoiceScores, min_mass: float) -> bool:
    """Return True if the offered answers have enough probability to be an answer.

    A server that does not report their mass is believed. A mass of 0 is none, whatever the limit.
    """
    mass = scores.answer_mass
    return mass is None or (mass > 0 and mass >= min_mass)


def probability(orders: OrderLogits) -> float:
    """Return the probability that `a` is better: the sigmoid of the mean log-odds of both orders."""
    return logistic((orders.a_first + orders.b_first) / 2)


def logistic(log_odds: float) -> float:
    """Return the probability with these log-odds."""
    return 1 / (1 + math.exp(-log_odds)) if log_odds >= 0 else math.exp(log_odds) / (1 + math.exp(log_odds))


def verdict_of(p_a: float) -> Verdict:
    """Return the verdict that a probability implies; a tie is exactly one half."""
    if p_a == 0.5:
        return "tie"
    return "a" if p_a > 0.5 else "b"


def _top_tokens(one: ChoiceScores, two: ChoiceScores, mode: LabelMode) -> str:
    """Return the most likely token of each answer; stored with unparsed judgments only."""
    first, second = ("a", "b") if mode == "pointwise" else ("a first", "b first")
    return f"{one.top_token!r} ({first}), {two.top_token!r} ({second})"
