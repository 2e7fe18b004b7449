"""The prompts of requests that a dry run has none of, because its placeholders happen not to lead to any."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice

from core.chat import turns_of
from core.errors import PubliusError
from core.records import Comparison, Prompt
from core.rewards import Sample
from engines.protocols import GenerationRequest
from evaluation.prompted import prompted_turns
from labelers.ai import AILabeler
from labelers.modes.written import VERDICT_PURPOSE
from labelers.rewards import LabelerReward
from publius.authoring.estimating.bounds import (
    CRITIQUE_PURPOSE,
    LABEL_PURPOSE,
    REVISION_PURPOSE,
    REWARD_PURPOSE,
)
from publius.authoring.estimating.dry import DryEngine, RequestLedger
from publius.runs.engines import EngineRole, Engines, conversations
from publius.runs.temporary import TemporaryRun
from publius.stages.critique import loop_of

_LOOKED_AT = 4
"""Prompts on which such requests are built."""
_STAGE = "typical"


@dataclass(frozen=True)
class TypicalPrompts:
    """Builds requests of each purpose on a few prompts, and counts the tokens of their prompts.

    Args:
        run: a run in a temporary folder.
        engines: dry engines.
        ledger: counts their requests.
        dry: returns the dry engine of a role.
    """

    run: TemporaryRun
    engines: Engines
    ledger: RequestLedger
    dry: Callable[[EngineRole], DryEngine]

    async def tokens(self, purpose: str, role: EngineRole) -> tuple[float, bool]:
        """Return the mean tokens of a prompt of this purpose, and True if they are estimated by characters.

        Both are 0 if no such request can be built.
        """
        self.ledger.stage, self.ledger.factor = _STAGE, 1.0
        row = self.ledger.row(purpose, self.engines.of(role).model)
        if not row.asked:
            for prompt in islice(self.run.prompts, _LOOKED_AT):
                with contextlib.suppress(PubliusError):  # it is too long
                    await self._ask(purpose, role, prompt)
        return (row.prompt_tokens / row.asked if row.asked else 0.0), row.by_characters

    async def _ask(self, purpose: str, role: EngineRole, prompt: Prompt) -> None:
        if purpose in (CRITIQUE_PURPOSE, REVISION_PURPOSE):
            loop = loop_of(self.run, self.engines)
            settings = {"rounds": 1, "candidates": 1, "early_stop": "off", "from_checks": False}
            loop = replace(loop, scorer=None, config=loop.config.model_copy(update=settings))
            await loop.trace(prompt)
        elif purpose == REWARD_PURPOSE:
            await self._reward(role).by_principle(Sample(prompt, self._answer(prompt, 0), finished=True))
        elif purpose in (LABEL_PURPOSE, VERDICT_PURPOSE):
            run = self.run
            labeler = AILabeler(
                run.constitution, self.engines.of(role), run.config.label, run.config.seed, run.templates
            )
            one, other = ((self._answer(prompt, number), f"typical:{number}") for number in (0, 1))
            await labeler.label(Comparison.of(prompt, one, other))
        else:
            turns = turns_of(prompt.messages)
            if purpose == "prompted":
                turns = prompted_turns(prompt, self.run.constitution, self.run.templates)
            sampling = self.run.config.sample.sampling
            request = GenerationRequest(turns, sampling, len(turns), purpose)
            await self.dry("policy").generate(request)

    def _answer(self, prompt: Prompt, number: int) -> str:
        sampling = self.run.config.critique.draft
        request = GenerationRequest(turns_of(prompt.messages), sampling, number, "draft")
        return self.dry("policy").placeholder(request).text

    def _reward(self, role: EngineRole) -> LabelerReward:
        run, engine = self.run, self.engines.of(role)
        limit = conversations(run.config.engine)
        return LabelerReward(
            run.constitution, run.templates, run.config.label, engine, run.config.seed, concurrency=limit
        )
