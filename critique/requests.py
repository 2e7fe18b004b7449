"""Requests to the critic: the conversation so far, and a request for a critique or a revision behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from constitution.checks.findings import finding
from constitution.schema import Constitution, Principle
from core.chat import Turn, Untrusted
from core.records import Generation, Prompt
from prompts.environment import PromptTemplates, RenderedPrompt, fence_for
from prompts.few_shots import few_shots

Request = Literal["critique", "revision"]
_JOINT = "The reply fulfils each of these principles."


@dataclass(frozen=True)
class CriticRequests:
    """Renders the requests of a loop."""

    constitution: Constitution
    templates: PromptTemplates
    critic: str = "critique"
    """Name of the template of critiques."""
    reviser: str = "revision"
    """Name of the template of revisions."""
    begin: str | None = None
    """Text that critiques begin with; None for that of the template."""

    def render(
        self, request: Request, prompt: Prompt, answer: Generation, principles: Sequence[Principle]
    ) -> RenderedPrompt:
        """Return a request about an answer under one or several principles."""
        principle = principles[0] if len(principles) == 1 else joint(principles)
        passage = "\n\n".join(dict.fromkeys(filter(None, map(self.constitution.passage, principles))))
        found = (finding(p.check, answer.text) for p in principles if p.check is not None)
        return self._rendered(
            request,
            principle=principle,
            preamble=self.constitution.preamble,
            passage=Untrusted(passage) if passage else None,
            fence=fence_for([passage]),
            question=Untrusted(prompt.messages[-1].content),
            finding="; ".join(filter(None, found)) or None,
        )

    def after_examples(
        self, turns: tuple[Turn, ...], principles: Sequence[Principle], *, direct: bool
    ) -> tuple[Turn, ...]:
        """Return the conversation after the principles' few-shot examples with their critiques and revisions.

        An example without `why` has no critique to show and is skipped. A system message stays first.

        Args:
            turns: the conversation up to the answer.
            principles: the principles of the round.
            direct: True if no critiques are written, and so none are shown.
        """
        shown: list[Turn] = []
        for principle, example in ((p, e) for p in principles for e, _ in few_shots(p) if e.why):
            question = Untrusted(example.prompt)
            values = {
                "principle": principle,
                "preamble": "",
                "passage": None,
                "fence": "",
                "question": question,
                "finding": None,
            }
            shown += [Turn("user", (question,)), Turn("assistant", (Untrusted(example.bad),))]
            if not direct:
                shown.append(Turn("user", self._rendered("critique", **values).pieces))
                shown.append(Turn("assistant", (Untrusted(example.why),)))
            shown.append(Turn("user", self._rendered("revision", **values).pieces))
            shown.append(Turn("assistant", (Untrusted(example.good),)))
        head = 1 if turns[0].role == "system" else 0
        return (*turns[:head], *shown, *turns[head:])

    def _rendered(self, request: Request, **values: object) -> RenderedPrompt:
        if request == "revision":
            return self.templates.render(self.reviser, **values)
        rendered = self.templates.render(self.critic, **values)
        return rendered if self.begin is None else RenderedPrompt(rendered.pieces, self.begin)


def joint(principles: Sequence[Principle]) -> Principle:
    """Return one principle that asks for several: their texts as a list, without requests of their own."""
    texts = "\n".join(f"- {principle.text}" for principle in principles)
    return Principle(id=principles[0].id, text=f"{_JOINT}\n{texts}")
