"""The critique-and-revise loop for one prompt (Bai et al. 2022, arXiv 2212.08073, section 3.1).

The policy writes a draft. Each round then draws a principle, criticises the answer under it and rewrites
the answer. As in the paper, each round starts from the prompt and the current answer: the critic reads one
answer, not the history of all answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from constitution.draw import draw, in_scope
from constitution.schema import Constitution, Principle
from core.chat import Turn, Untrusted, turns_of
from core.digests import derive_seed, record_id
from core.records import CritiqueTrace, Generation, Prompt, Revision
from critique.config import CritiqueConfig
from critique.flags import flags_of
from engines.protocols import GenerationRequest, Generator
from prompts.environment import PromptTemplates, fence_for
from prompts.few_shots import few_shots


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

    async def trace(self, prompt: Prompt) -> CritiqueTrace:
        """Run the loop for one prompt and return the draft and all rounds.

        Raises:
            RequestError: the conversation becomes too long for the model; the caller skips the prompt.
        """
        draft = await self.draft(prompt)
        revisions: list[Revision] = []
        answer = draft
        for number in range(1, self.config.rounds + 1):
            principle = self.principle_for(prompt, number)
            if principle is None:
                break
            revision = await self._revise(prompt, answer, principle, number)
            revisions.append(revision)
            answer = revision.candidates[-1] if revision.kept else answer
        return CritiqueTrace(
            id=self._id(prompt),
            prompt=prompt,
            initial=draft,
            revisions=tuple(revisions),
            constitution_digest=self.constitution.digest,
        )

    async def draft(self, prompt: Prompt) -> Generation:
        """Return the policy's first answer. It does not depend on the constitution."""
        sampling = self.config.draft
        seed = derive_seed(self.seed, prompt.id, "draft", 0)
        return await self.policy.generate(
            GenerationRequest(turns_of(prompt.messages), sampling, seed, "draft")
        )

    def principle_for(self, prompt: Prompt, number: int) -> Principle | None:
        """Return the principle drawn for a round, or None if no principle applies to the prompt."""
        candidates = [p for p in self.constitution.principles if in_scope(p, prompt)]
        drawn = draw(candidates, 1, self.seed, prompt.id, number)
        return drawn[0] if drawn else None

    async def _revise(
        self, prompt: Prompt, answer: Generation, principle: Principle, number: int
    ) -> Revision:
        turns = (*turns_of(prompt.messages), Turn("assistant", (Untrusted(answer.text),)))
        turns = self._after_examples(turns, principle)
        critique, turns = await self._ask("critique", turns, prompt, principle, number)
        candidate, _ = await self._ask("revision", turns, prompt, principle, number)
        flags = flags_of(candidate, answer)
        return Revision(
            round=number,
            principle_id=principle.id,
            critique=critique,
            candidates=(candidate,),
            kept=not set(flags) & set(self.config.drop),
            flags=flags,
        )

    async def _ask(
        self,
        name: Literal["critique", "revision"],
        turns: tuple[Turn, ...],
        prompt: Prompt,
        principle: Principle,
        number: int,
    ) -> tuple[Generation, tuple[Turn, ...]]:
        """Return the critic's answer to a request, and the conversation including it."""
        passage = self.constitution.passage(principle)
        rendered = self.templates.render(
            name,
            principle=principle,
            preamble=self.constitution.preamble,
            passage=Untrusted(passage) if passage else None,
            fence=fence_for([passage]),
            question=Untrusted(prompt.messages[-1].content),
        )
        turns = (*turns, Turn("user", rendered.pieces))
        sampling = self.config.critique if name == "critique" else self.config.revision
        seed = derive_seed(self.seed, prompt.id, name, number)
        answer = await self.critic.generate(GenerationRequest(turns, sampling, seed, name, rendered.prefill))
        if rendered.prefill and answer.text:
            answer = answer.model_copy(update={"text": f"{rendered.prefill} {answer.text}"})
        return answer, (*turns, Turn("assistant", (Untrusted(answer.text),)))

    def _after_examples(self, turns: tuple[Turn, ...], principle: Principle) -> tuple[Turn, ...]:
        """Return the conversation after the principle's few-shot examples with their critiques and revisions.

        An example without `why` has no critique to show and is skipped. A system message stays first.
        """
        shown: list[Turn] = []
        for example, _ in few_shots(principle):
            if not example.why:
                continue
            values = {"principle": principle, "preamble": "", "passage": None, "fence": ""}
            question = Untrusted(example.prompt)
            critique = self.templates.render("critique", **values, question=question)
            revision = self.templates.render("revision", **values, question=question)
            shown += [
                Turn("user", (question,)),
                Turn("assistant", (Untrusted(example.bad),)),
                Turn("user", critique.pieces),
                Turn("assistant", (Untrusted(example.why),)),
                Turn("user", revision.pieces),
                Turn("assistant", (Untrusted(example.good),)),
            ]
        head = 1 if turns[0].role == "system" else 0
        return (*turns[:head], *shown, *turns[head:])

    def _id(self, prompt: Prompt) -> str:
        return record_id("trace", prompt.id, *self._id_parts)

    @cached_property
    def _id_parts(self) -> tuple[object, ...]:
        """Everything besides the prompt that determines a trace."""
        templates = self.templates.digest_of("critique", "revision")
        return self.constitution.digest, templates, self.config.model_dump(mode="json"), self.seed
