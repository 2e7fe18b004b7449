"""Requests to the critic for critiques and revisions.

A request comes behind the conversation and the answer, which the critic takes for its own; that is how the
built-in templates for small critics and all templates of users work. A critic that follows instructions gets
the answer as material of someone else: it criticises in a conversation of its own, and the critique is
material of the request for the revision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from constitution.checks.findings import finding
from constitution.schema import Constitution, Principle
from core.chat import Turn, Untrusted, turns_of
from core.records import Generation, Prompt, Sampling
from prompts.environment import CRITIC_TEMPLATES, PromptTemplates, RenderedPrompt, fence_for
from prompts.few_shots import few_shots

Request = Literal["critique", "revision"]
CHECKS = "checks"
"""Name of the model of critiques that machine checks write."""
_JOINT = "The reply fulfils each of these principles."


@dataclass(frozen=True)
class Asked:
    """A request to the critic: a conversation, and the text that the answer begins with."""

    turns: tuple[Turn, ...]
    begun: str = ""


@dataclass(frozen=True)
class Subject:
    """What a request is about."""

    prompt: Prompt
    reply: str
    """The answer to criticise or to revise."""
    principles: tuple[Principle, ...]

    @property
    def findings(self) -> str | None:
        """What the principles' machine checks found wrong in the answer; None if nothing."""
        found = (finding(p.check, self.reply) for p in self.principles if p.check is not None)
        return "; ".join(filter(None, found)) or None

    @property
    def is_decided_by_checks(self) -> bool:
        """True if the checks of all principles fail, and none asks for a critique in its own words."""
        return all(
            p.check is not None and not p.critique and finding(p.check, self.reply) for p in self.principles
        )


@dataclass(frozen=True)
class CriticRequests:
    """Builds the requests of a loop."""

    constitution: Constitution
    templates: PromptTemplates
    instructed: bool = False
    """True if the critic follows instructions. The user's own templates replace those for both kinds."""
    begin: str | None = None
    """Text that critiques begin with; None for that of the template."""

    @property
    def names(self) -> tuple[str, str]:
        """Names of the templates of critiques and revisions."""
        critic, reviser = CRITIC_TEMPLATES if self.instructed else ("critique", "revision")
        own = self.templates.own
        return "critique" if "critique" in own else critic, "revision" if "revision" in own else reviser

    def critique(self, about: Subject) -> Asked:
        """Return the request for a critique."""
        name, _ = self.names
        rendered = self._rendered(name, about)
        begun = rendered.prefill if self.begin is None else self.begin
        if name in CRITIC_TEMPLATES:
            return Asked((Turn("user", rendered.pieces),), begun)
        before = self._after_examples(_conversation(about), about.principles, direct=False)
        return Asked((*before, Turn("user", rendered.pieces)), begun)

    def written(self, about: Subject, sampling: Sampling) -> Generation:
        """Return the critique that the machine checks write; it costs no tokens."""
        subject = "The reply" if self.names[0] in CRITIC_TEMPLATES else "My last reply"
        text = f"{subject} breaks this principle: {about.findings}."
        return Generation(
            text=text,
            finish_reason="stop",
            prompt_tokens=0,
            completion_tokens=0,
            model=CHECKS,
            sampling=sampling,
        )

    def revision(self, about: Subject, critique: str | None) -> Asked:
        """Return the request for a revision.

        Args:
            about: what to revise.
            critique: the critique of the answer; None to revise without one.
        """
        critic, reviser = self.names
        rendered = self._rendered(reviser, about, critique)
        if critic in CRITIC_TEMPLATES or critique is None:
            before = self._after_examples(_conversation(about), about.principles, direct=True)
        else:
            said = Turn("assistant", (Untrusted(critique),))
            before = (*self.critique(about).turns, said)
        return Asked((*before, Turn("user", rendered.pieces)), rendered.prefill)

    def _rendered(self, name: str, about: Subject, critique: str | None = None) -> RenderedPrompt:
        principles = about.principles
        passage = "\n\n".join(dict.fromkeys(filter(None, map(self.constitution.passage, principles))))
        fenced = [passage]
        if name in CRITIC_TEMPLATES:
            fenced += [about.reply, critique or "", *(m.content for m in about.prompt.messages)]
        values = {
            "principle": principles[0] if len(principles) == 1 else joint(principles),
            "preamble": self.constitution.preamble,
            "passage": Untrusted(passage) if passage else None,
            "fence": fence_for(fenced),
            "question": Untrusted(about.prompt.messages[-1].content),
            "reply": Untrusted(about.reply),
            "finding": about.findings,
        }
        if name == self.names[1]:
            values["critique"] = None if critique is None else Untrusted(critique)
        return self.templates.render(name, **values)

    def _after_examples(
        self, turns: tuple[Turn, ...], principles: Sequence[Principle], *, direct: bool
    ) -> tuple[Turn, ...]:
        """Return the conversation after the principles' few-shot examples with their critiques and revisions.

        An example without `why` has no critique to show and is skipped. A system message stays first.

        Args:
            turns: the conversation up to the answer.
            principles: the principles of the round.
            direct: True if critiques are no turns of the conversation.
        """
        shown: list[Turn] = []
        critic, reviser = self.names
        for principle, example in ((p, e) for p in principles for e, _ in few_shots(p) if e.why):
            question = Untrusted(example.prompt)
            values: dict[str, Any] = {
                "principle": principle,
                "preamble": "",
                "passage": None,
                "fence": fence_for([example.why]) if direct else "",
                "question": question,
                "reply": Untrusted(example.bad),
                "finding": None,
            }
            shown += [Turn("user", (question,)), Turn("assistant", (Untrusted(example.bad),))]
            if not direct:
                shown.append(Turn("user", self.templates.render(critic, **values).pieces))
                shown.append(Turn("assistant", (Untrusted(example.why),)))
            values["critique"] = Untrusted(example.why)
            shown.append(Turn("user", self.templates.render(reviser, **values).pieces))
            shown.append(Turn("assistant", (Untrusted(example.good),)))
        head = 1 if turns[0].role == "system" else 0
        return (*turns[:head], *shown, *turns[head:])


def joint(principles: Sequence[Principle]) -> Principle:
    """Return one principle that asks for several: their texts as a list, without requests of their own."""
    texts = "\n".join(f"- {principle.text}" for principle in principles)
    return Principle(id=principles[0].id, text=f"{_JOINT}\n{texts}")


def _conversation(about: Subject) -> tuple[Turn, ...]:
    """Return the conversation up to the answer."""
    return (*turns_of(about.prompt.messages), Turn("assistant", (Untrusted(about.reply),)))
