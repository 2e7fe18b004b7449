"""Whether a single reply fulfils a principle: the question of the mode `pointwise`, asked about one reply."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import cached_property

from constitution.schema import Constitution, Principle
from core.records import Prompt
from engines.protocols import ChoiceRequest, ChoiceScorer
from labelers.config import LabelConfig
from labelers.modes.reading import is_readable
from labelers.modes.tokens import about_reply, fulfilment
from labelers.questions import QuestionBuilder, questions_for
from prompts.environment import PromptTemplates

POINTWISE_LABELS = LabelConfig(mode="pointwise")
"""Settings of a judge that is asked about single replies."""


@dataclass(frozen=True)
class EntailmentJudge:
    """Asks a judge whether replies fulfil principles.

    Args:
        engine: the judge.
        constitution: its principles are asked about.
        templates: the templates of the question.
        purpose: what the requests are counted as.
        config: has the minimum total probability of yes and no, and in the mode `pointwise` the polarity.
    """

    engine: ChoiceScorer
    constitution: Constitution
    templates: PromptTemplates
    purpose: str = "reward"
    config: LabelConfig = POINTWISE_LABELS

    async def log_odds(self, principle: Principle, prompt: Prompt, reply: str) -> float | None:
        """Return the log-odds that a reply fulfils a principle, in nats; None if the answer is unreadable.

        Raises:
            RequestError: if the conversation is too long for the judge.
        """
        requests = self.requests(principle, prompt, reply)
        scores = await asyncio.gather(*map(self.engine.choose, requests))
        if not all(is_readable(one, self.config.min_answer_mass) for one in scores):
            return None
        return fulfilment(scores)

    def requests(self, principle: Principle, prompt: Prompt, reply: str) -> tuple[ChoiceRequest, ...]:
        """Return the requests to the judge: one, or with `polarity: both` one for each polarity."""
        asked = about_reply(self._questions, self.config, principle, prompt, reply)
        return tuple(replace(request, purpose=self.purpose) for request in asked)

    @cached_property
    def _questions(self) -> QuestionBuilder:
        return questions_for(self.engine, self.constitution, self.templates)
