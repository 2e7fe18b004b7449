"""The AI labeler: judge comparisons under principles of the constitution, in one of its modes.

`labelers/modes` has the modes: what a model is asked about two replies, and how its answers become a
probability.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property

from constitution.draw import draw, in_scope
from constitution.schema import Constitution, Principle
from core.digests import record_id
from core.records import Comparison, Judgment
from engines.protocols import Engine, compares_replies
from labelers.config import LabelConfig, judging_settings
from labelers.modes.asking import Case, JudgeEngine, JudgingMode, Request
from labelers.modes.table import mode_of, require_judge
from prompts.environment import PromptTemplates

AI_LABELER = "ai"


@dataclass(frozen=True)
class AILabeler:
    """Labeler that asks a model to compare answers under principles drawn from the constitution."""

    constitution: Constitution
    engine: JudgeEngine
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
        """Return the principles drawn for a comparison, without the machine-checkable ones.

        A labeler that reads no principle judges once: it has the first one alone, in whose place it judges.
        """
        candidates = [
            p for p in self.constitution.steering if p.check is None and in_scope(p, comparison.prompt)
        ]
        drawn = draw(candidates, self.config.principles, self.seed, comparison.prompt.id, "label")
        return drawn if self.reads_principles else drawn[:1]

    @cached_property
    def reads_principles(self) -> bool:
        """False for a reward model: what is better is what it was trained on."""
        return not compares_replies(self.engine)

    def recorded_principle(self, principle: Principle) -> str | None:
        """Return the id that a judgment under a principle has; None if the labeler does not read it."""
        return principle.id if self.reads_principles else None

    async def judge(self, comparison: Comparison, principle: Principle) -> Judgment:
        """Judge a comparison under one principle and return the judgment.

        Raises:
            RequestError: if the two answers are too long for the labeler; the comparison is then skipped.
        """
        requests = self.requests(comparison, principle)
        under = self.recorded_principle(principle)
        reading = await self.mode.read(Case(comparison, principle), requests)
        return Judgment(
            id=record_id(
                "judgment",
                comparison.id,
                AI_LABELER,
                under,
                judging_settings(self.config),
                *map(self.engine.key, requests),
            ),
            comparison_id=comparison.id,
            labeler=AI_LABELER,
            model=reading.model,
            verdict=reading.verdict,
            p_a=reading.p_a,
            principle_id=under,
            orders=reading.orders,
            margin=reading.margin,
            answer_mass=reading.answer_mass,
            raw=reading.raw,
            comment=reading.comment,
            problem=reading.problem,
        )

    def requests(self, comparison: Comparison, principle: Principle) -> tuple[Request, ...]:
        """Return the requests that begin a judgment."""
        return self.mode.requests(Case(comparison, principle))

    def request(self, comparison: Comparison, principle: Principle, *, a_first: bool) -> Request:
        """Return the request of one presentation order or, where each answer is judged alone, about one."""
        return self.requests(comparison, principle)[0 if a_first else 1]

    @cached_property
    def mode(self) -> JudgingMode:
        """The mode that the settings name."""
        return mode_of(self.config, self.engine, self.constitution, self.templates)


def require_labeler(engine: Engine, templates: PromptTemplates, config: LabelConfig | None = None) -> None:
    """Raise an error if the engine's model cannot judge in the mode that the settings name.

    Call this before sending any request. Raises as `labelers.modes.table.require_judge` does.
    """
    require_judge(engine, templates, config or LabelConfig())
