"""Requests to the critic for critiques and revisions.

A request comes behind the conversation and the answer, which the critic takes for its own. The critique is
the next turn, and the request for the revision comes behind it, so an engine that caches prefixes reads the
answer once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from constitution.checks.findings import finding
from constitution.checks.prompted import check_on
from constitution.schema import Constitution, Principle
from core.chat import Turn, Untrusted, turns_of
from core.records import Generation, Prompt, Sampling
from prompts.environment import PromptTemplates, fence_for
from prompts.few_shots import few_shots

WRITTEN_BY_CHECKS = "checks"
"""Name of the model of critiques that machine checks write."""
BEGUN_BELOW = 300_000_000
"""Number of weights below which critiques get a given beginning: SmolLM2-135M answers the user again without
it, and a model of 494 million weights gains nothing by it (docs/benchmarks.md)."""
_JOINT = "The reply fulfils each of these principles."


@dataclass(frozen=True)
class CriticRequest:
    """A request to the critic: a conversation, and the text that the answer begins with."""

    turns: tuple[Turn, ...]
    begun: str
    affinity: str | None = None
    """Id of the prompt (`GenerationRequest.affinity`)."""


@dataclass(frozen=True)
class AnswerToRevise:
    """What a request is about."""

    prompt: Prompt
    reply: str
    """The answer to criticise or to revise."""
    principles: tuple[Principle, ...]

    @property
    def findings(self) -> str | None:
        """What the principles' machine checks found wrong in the answer; None if nothing."""
        return "; ".join(filter(None, map(self._finding, self.principles))) or None

    @property
    def is_decided_by_checks(self) -> bool:
        """True if the checks of all principles fail, and none asks for a critique in its own words."""
        return all(not p.critique and self._finding(p) for p in self.principles)

    def _finding(self, principle: Principle) -> str | None:
        """Return what a principle's check found wrong in the answer; None if nothing, or without a check."""
        if principle.check is None:
            return None
        return finding(check_on(principle.check, self.prompt), self.reply)


@dataclass(frozen=True)
class CriticRequests:
    """Builds the requests of a loop."""

    constitution: Constitution
    templates: PromptTemplates
    begin: str | None = None
    """Text that critiques begin with; None for that of the template."""

    def critique(self, about: AnswerToRevise) -> CriticRequest:
        """Return the request for a critique."""
        conversation = (*turns_of(about.prompt.messages), Turn("assistant", (Untrusted(about.reply),)))
        before = self._after_examples(conversation, about.principles, critiques=True)
        rendered = self.templates.render("critique", **self._values(about))
        begun = rendered.prefill if self.begin is None else self.begin
        return CriticRequest((*before, Turn("user", rendered.pieces)), begun, about.prompt.id)

    def written(self, about: AnswerToRevise, sampling: Sampling) -> Generation:
        """Return the critique that the machine checks write; it costs no tokens."""
        return Generation(
            text=f"My last reply breaks this principle: {about.findings}.",
            finish_reason="stop",
            prompt_tokens=0,
            completion_tokens=0,
            model=WRITTEN_BY_CHECKS,
            sampling=sampling,
        )

    def revision(self, about: AnswerToRevise, critique: str | None) -> CriticRequest:
        """Return the request for a revision.

        Args:
            about: what to revise.
            critique: the critique of the answer; None to revise without one.
        """
        said = None if critique is None else Untrusted(critique)
        if said is None:
            conversation = (*turns_of(about.prompt.messages), Turn("assistant", (Untrusted(about.reply),)))
            before = self._after_examples(conversation, about.principles, critiques=False)
        else:
            before = (*self.critique(about).turns, Turn("assistant", (said,)))
        rendered = self.templates.render("revision", **self._values(about), critique=said)
        return CriticRequest((*before, Turn("user", rendered.pieces)), rendered.prefill, about.prompt.id)

    def _values(self, about: AnswerToRevise) -> dict[str, Any]:
        """Return the values of a template."""
        principles = about.principles
        passage = "\n\n".join(dict.fromkeys(filter(None, map(self.constitution.passage, principles))))
        return {
            "principle": principles[0] if len(principles) == 1 else joint(principles),
            "preamble": self.constitution.preamble,
            "passage": Untrusted(passage) if passage else None,
            "fence": fence_for([passage]),
            "question": Untrusted(about.prompt.messages[-1].content),
            "reply": Untrusted(about.reply),
            "finding": about.findings,
        }

    def _after_examples(
        self, turns: tuple[Turn, ...], principles: Sequence[Principle], *, critiques: bool
    ) -> tuple[Turn, ...]:
        """Return the conversation after the principles' few-shot examples with their critiques and revisions.

        An example without `why` has no critique to show and is skipped. A system message stays first.

        Args:
            turns: the conversation up to the answer.
            principles: the principles of the round.
            critiques: whether the examples show their critiques.
        """
        shown: list[Turn] = []
        for principle, example in ((p, e) for p in principles for e, _ in few_shots(p) if e.why):
            values: dict[str, Any] = {
                "principle": principle,
                "preamble": "",
                "passage": None,
                "fence": "",
                "question": Untrusted(example.prompt),
                "reply": Untrusted(example.bad),
                "finding": None,
            }
            why = Untrusted(example.why)
            shown += [Turn("user", (values["question"],)), Turn("assistant", (values["reply"],))]
            if critiques:
                shown.append(Turn("user", self.templates.render("critique", **values).pieces))
                shown.append(Turn("assistant", (why,)))
            values["critique"] = why if critiques else None
            shown.append(Turn("user", self.templates.render("revision", **values).pieces))
            shown.append(Turn("assistant", (Untrusted(example.good),)))
        head = 1 if turns[0].role == "system" else 0
        return (*turns[:head], *shown, *turns[head:])


def needs_beginning(weights: int | None) -> bool:
    """Return True if a critic of this many weights needs a given beginning; not if the number is unknown."""
    return weights is not None and weights < BEGUN_BELOW


def joint(principles: Sequence[Principle]) -> Principle:
    """Return one principle that asks for several: their texts as a list, without requests of their own."""
    texts = "\n".join(f"- {principle.text}" for principle in principles)
    return Principle(id=principles[0].id, text=f"{_JOINT}\n{texts}")
