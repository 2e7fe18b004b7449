"""The cards of the bench: a prompt with its answers, and how it is shown on the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from core.records import CritiqueTrace, Prompt, Revision
from publius.studio.bench.labels import LabelView, shown_checks, shown_labels, shown_overall
from publius.studio.bench.pairs import AnswerPair, answer_pair

CardState = Literal["waiting", "drafting", "critiquing", "revising", "labelling", "done", "stopped", "failed"]
CardOrigin = Literal["pinned", "sampled", "typed"]

_WRITING: dict[str, CardState] = {"draft": "drafting", "critique": "critiquing", "revision": "revising"}


@dataclass
class Card:
    """A prompt on the bench."""

    prompt: Prompt
    origin: CardOrigin
    pinned: bool = False
    state: CardState = "waiting"
    trace: CritiqueTrace | None = None
    is_stale: bool = False
    """True if the constitution has changed how the answers are written since they were."""
    problem: str = ""
    written: dict[str, str] = field(default_factory=dict)
    """Texts of the round that is being written, by purpose, before the trace is complete."""
    _pair: tuple[str, AnswerPair] | None = None

    @property
    def pair(self) -> AnswerPair | None:
        """The pair of answers; None before they are written."""
        if self.trace is None:
            return None
        if self._pair is None or self._pair[0] != self.trace.id:
            self._pair = (self.trace.id, answer_pair(self.trace))
        return self._pair[1]

    def tell(self, purpose: str, text: str | None) -> None:
        """Note that a text is being written, or what it is."""
        if text is None:
            self.state = _WRITING.get(purpose, self.state)
            return
        if purpose == "critique":
            self.written.pop("revision", None)  # of the round before
        self.written[purpose] = text

    def as_json(self, now: LabelView | None, before: LabelView | None) -> dict[str, Any]:
        """Return the card as the page shows it.

        Args:
            now: labels under the current constitution; None before the answers are written.
            before: labels under the constitution that it is compared with, if any.
        """
        pair, trace = self.pair, self.trace
        draft = trace.initial.text if trace else self.written.get("draft")
        last = pair.revision.text if pair and pair.revision else self.written.get("revision")
        shown: dict[str, Any] = {
            "id": self.prompt.id,
            "messages": [message.model_dump() for message in self.prompt.messages],
            "tags": list(self.prompt.tags),
            "origin": self.origin,
            "pinned": self.pinned,
            "state": self.state,
            "stale": self.is_stale,
            "problem": self.problem,
            "draft": draft,
            "revision": last,
            "critique": self.written.get("critique"),
            "discarded": bool(pair and pair.is_discarded),
            "rounds": [_round_json(revision) for revision in trace.revisions] if trace else [],
            "checks": [],
            "labels": [],
            "overall": {"p": None, "why": None, "before": None, "flipped": False},
        }
        if pair is not None and now is not None:
            shown["checks"] = shown_checks(now, before)
            shown["labels"] = shown_labels(pair, now, before)
            shown["overall"] = shown_overall(now, before)
        return shown


def _round_json(revision: Revision) -> dict[str, Any]:
    return {
        "principles": list(revision.principle_ids),
        "critique": revision.critique.text if revision.critique else None,
        "kept": revision.kept,
        "dropped": revision.dropped,
        "flags": list(revision.flags),
        "broken": list(revision.broken),
    }
