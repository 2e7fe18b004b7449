"""The critique-and-revise loop for one prompt (Bai et al. 2022, arXiv 2212.08073, section 3.1).

The policy writes a draft. Each round then chooses a principle, criticises the answer under it and rewrites
the answer. As in the paper, each round starts from the prompt and the current answer: the critic reads one
answer, not the history of all answers. Beyond the paper, a round may write several revisions and use the
best, a revision that breaks what was fulfilled is discarded (`critique/guard.py`), and a round that has
nothing to improve is skipped.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from constitution.schema import Constitution, Principle
from core.chat import turns_of
from core.digests import derive_seed, record_id
from core.records import CritiqueTrace, Generation, Prompt, Revision, Sampling
from core.settings import identity_of
from critique.config import CritiqueConfig
from critique.expected import expected_of
from critique.flags import FIRST_FLAGS, finds_fault, flags_of
from critique.guard import RevisionCandidate, Standing, best_of, fails_more, standing_of
from critique.requests import AnswerToRevise, CriticRequest, CriticRequests
from critique.scoring import AnswerScorer
from critique.strategies import principles_of_round
from engines.protocols import GenerationRequest, Generator
from prompts.environment import PromptTemplates

LoopRules = Literal["first", "guarded", "ranked"]
"""The rules of a loop. Runs made before guard, early stop and the later flags keep `first`; those made before
`worst` took hard principles first keep `guarded`."""


@dataclass(frozen=True)
class CritiqueLoop:
    """The critique-and-revise loop, with everything that is the same for all prompts of a run."""

    constitution: Constitution
    policy: Generator
    """Model that writes the drafts."""
    critic: Generator
    """Model that writes critiques and revisions; it may be the policy itself."""
    config: CritiqueConfig = field(default_factory=CritiqueConfig)
    seed: int = 0
    templates: PromptTemplates = field(default_factory=PromptTemplates)
    scorer: AnswerScorer | None = None
    """Scores answers; None for the machine checks alone."""
    rules: LoopRules = "ranked"
    begun: bool = True
    """What `auto` means for this critic: True if its critiques need a given beginning, as those of small
    models do; False if it follows instructions."""
    chosen: tuple[Principle, ...] = ()
    """Principles to criticise under in place of drawn ones, one a round in turn; empty to draw them."""

    async def trace(self, prompt: Prompt) -> CritiqueTrace:
        """Run the loop for one prompt and return the draft and all rounds.

        Raises:
            RequestError: the conversation becomes too long for the model; the caller skips the prompt.
        """
        draft = await self.draft(prompt)
        standing = await standing_of(self._scorer, prompt, draft)
        revisions: list[Revision] = []
        answer = draft
        for number in range(1, self.config.rounds + 1):
            principles = self._principles(prompt, standing, number)
            if not principles:
                break
            if self._nothing_wrong(principles, standing):
                continue
            revision, best = await self._revise(prompt, answer, standing, principles, number)
            revisions.append(revision)
            if revision.kept and best is not None:
                answer, standing = best.answer, best.standing
        return CritiqueTrace(
            id=self._id(prompt),
            prompt=prompt,
            initial=draft,
            revisions=tuple(revisions),
            constitution_digest=self.constitution.digest,
        )

    @property
    def settings(self) -> CritiqueConfig:
        """The settings by the rules of the loop, with a value for each `auto`."""
        return self._settings

    async def draft(self, prompt: Prompt) -> Generation:
        """Return the policy's first answer. It does not depend on the constitution."""
        sampling = self.config.draft
        seed = derive_seed(self.seed, prompt.id, "draft", 0)
        return await self.policy.generate(
            GenerationRequest(turns_of(prompt.messages), sampling, seed, "draft", affinity=prompt.id)
        )

    def _principles(self, prompt: Prompt, standing: Standing, number: int) -> tuple[Principle, ...]:
        if self.chosen:
            return (self.chosen[(number - 1) % len(self.chosen)],)
        return principles_of_round(
            self._settings.principles,
            self.constitution,
            prompt,
            standing,
            (self.seed, number),
            ranked=self.rules == "ranked",
        )

    def _nothing_wrong(self, principles: tuple[Principle, ...], standing: Standing) -> bool:
        """Return True if machine checks decide all principles of a round, and the answer passes them."""
        if self._settings.early_stop == "off":
            return False
        return all(p.check is not None and p.id in standing.met for p in principles)

    async def _revise(
        self,
        prompt: Prompt,
        answer: Generation,
        before: Standing,
        principles: tuple[Principle, ...],
        number: int,
    ) -> tuple[Revision, RevisionCandidate | None]:
        """Return one round, and the candidate that it may keep; None if the critique finds nothing wrong."""
        config, about = self._settings, AnswerToRevise(prompt, answer.text, principles)
        critique = None if config.direct else await self._criticise(about, number)
        found = Revision(
            round=number,
            principle_id=principles[0].id,
            others=tuple(principle.id for principle in principles[1:]),
            critique=critique,
            candidates=(answer,),
            kept=False,
            flags=("no_fault",),
        )
        if config.early_stop == "critique" and critique is not None and not finds_fault(critique):
            return found, None
        revised = await self._revisions(about, critique, number)
        attempts = await asyncio.gather(
            *(self._judged(k, one, about, answer, before, critique) for k, one in enumerate(revised))
        )
        best = best_of(attempts, config)
        others = tuple(attempt.answer for attempt in attempts if attempt is not best)
        why = best.dropped(config)
        written = {
            "candidates": (*others, best.answer),
            "kept": why is None,
            "flags": best.flags,
            "broken": best.broken,
            "dropped": None if self.rules == "first" else why,
        }
        return found.model_copy(update=written), best

    async def _criticise(self, about: AnswerToRevise, number: int) -> Generation:
        """Return the critique of an answer: what its checks found, or what the critic writes."""
        if self._settings.from_checks and about.is_decided_by_checks:
            return self._requests.written(about, self.config.critique)
        seed = derive_seed(self.seed, about.prompt.id, "critique", number)
        return await self._answer("critique", self._requests.critique(about), self.config.critique, seed)

    async def _revisions(
        self, about: AnswerToRevise, critique: Generation | None, number: int
    ) -> list[Generation]:
        """Return the candidates of a round. The first one has the seed that it has alone."""
        asked = self._requests.revision(about, critique.text if critique else None)
        parts: list[tuple[object, ...]] = [(), *((k,) for k in range(1, self.config.candidates))]
        seeds = [derive_seed(self.seed, about.prompt.id, "revision", number, *part) for part in parts]
        return await asyncio.gather(
            *(self._answer("revision", asked, self.config.revision, seed) for seed in seeds)
        )

    async def _answer(self, purpose: str, asked: CriticRequest, sampling: Sampling, seed: int) -> Generation:
        """Return the critic's answer, with the text that it was made to begin with in front."""
        request = GenerationRequest(
            asked.turns, sampling, seed, purpose, asked.begun, affinity=asked.affinity
        )
        answer = await self.critic.generate(request)
        if not asked.begun or not answer.text:
            return answer
        return answer.model_copy(update={"text": f"{asked.begun} {answer.text}"})

    async def _judged(
        self,
        number: int,
        revision: Generation,
        about: AnswerToRevise,
        answer: Generation,
        before: Standing,
        critique: Generation | None,
    ) -> RevisionCandidate:
        standing = await standing_of(self._scorer, about.prompt, revision)
        said = critique.text if critique else ""
        if self.rules == "first":
            flags = tuple(f for f in flags_of(revision, answer, said) if f in FIRST_FLAGS)
            return RevisionCandidate(number, revision, flags, standing, ())
        expected, rules = expected_of(self.constitution, about.prompt), [p.text for p in about.principles]
        flags = flags_of(revision, answer, said, expected, rules)
        broken, worse = before.broken_by(standing), fails_more(about.principles, before, standing)
        return RevisionCandidate(number, revision, flags, standing, broken, worse)

    @cached_property
    def _settings(self) -> CritiqueConfig:
        """The settings by the rules of the loop, with a value for each `auto`."""
        config, first = self.config, self.rules == "first"
        instructed = not self.begun and not first
        chosen: dict[str, object] = {"guard": config.guard and not first}
        if config.from_checks == "auto":
            chosen["from_checks"] = instructed
        if config.early_stop == "auto":
            chosen["early_stop"] = "checks" if instructed else "off"
        return config.model_copy(update=chosen)

    @cached_property
    def _scorer(self) -> AnswerScorer:
        return self.scorer or AnswerScorer(self.constitution)

    @cached_property
    def _requests(self) -> CriticRequests:
        return CriticRequests(self.constitution, self.templates, self._begin)

    @property
    def _begin(self) -> str | None:
        """The beginning of critiques; None for that of the template, which a user's own decides itself.

        A copy of the built-in template in which only the request is edited has the built-in beginning.
        """
        begin = self.config.begin
        if begin == "auto":
            is_built_in = not self.templates.has_own_prefill("critique")
            is_unwanted = is_built_in and not self.begun and self.rules != "first"
            return "" if is_unwanted else None
        return "" if begin == "none" else begin

    def _id(self, prompt: Prompt) -> str:
        return record_id("trace", prompt.id, *self._id_parts)

    @cached_property
    def _id_parts(self) -> tuple[object, ...]:
        """Everything besides the prompt that determines a trace."""
        templates = self.templates.digest_of("critique", "revision")
        parts = (self.constitution.digest, templates, identity_of(self.config), self.seed)
        return parts if self._begin is None else (*parts, self._begin)
