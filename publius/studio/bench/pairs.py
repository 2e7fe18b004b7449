"""The pair of answers of a prompt on the bench: the draft, and the revision that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass

from core.records import Candidate, Comparison, CritiqueTrace, Generation, Revision
from critique.comparisons import draft_against_revision

_NO_FAULT = "no_fault"


@dataclass(frozen=True)
class AnswerPair:
    """A draft and its revision."""

    draft: Generation
    revision: Generation | None
    """The last revision that was kept, or else the last one that was written; None if none was written."""
    comparison: Comparison | str
    """What is labelled, or why there is nothing to label."""
    is_discarded: bool = False
    """True if the loop did not keep the revision: a run would not compare the two."""

    @property
    def last(self) -> Generation:
        """The answer that checks are shown for beside the draft."""
        return self.revision or self.draft

    def p_revision(self, p_a: float) -> float:
        """Return the probability that the revision is better, from that of answer `a`."""
        assert isinstance(self.comparison, Comparison)
        return 1 - p_a if self.comparison.origin_a == "draft" else p_a


def answer_pair(trace: CritiqueTrace) -> AnswerPair:
    """Return the pair of a trace.

    A discarded revision is paired too, where the run has no pair: its labels show what an edit changes.
    """
    comparison = draft_against_revision(trace)
    if isinstance(comparison, Comparison):
        return AnswerPair(trace.initial, trace.answers()[-1], comparison)
    written = [revision for revision in trace.revisions if _NO_FAULT not in revision.flags]
    if not written:
        return AnswerPair(trace.initial, None, comparison)
    revision = written[-1].candidates[-1]
    if not revision.text or not trace.initial.text or revision.text == trace.initial.text:
        return AnswerPair(trace.initial, revision, comparison, is_discarded=True)
    return AnswerPair(trace.initial, revision, _discarded(trace, written[-1]), is_discarded=True)


def _discarded(trace: CritiqueTrace, written: Revision) -> Comparison:
    first, second = trace.initial, written.candidates[-1]
    return Comparison.of(
        trace.prompt,
        Candidate(first.text, "draft", first.finish_reason == "stop"),
        Candidate(second.text, f"revision:{written.round}", second.finish_reason == "stop"),
        group=trace.id,
    )


def same_pair(one: AnswerPair, other: AnswerPair) -> bool:
    """Return True if two pairs have the same texts."""
    texts = [(pair.draft.text, pair.revision.text if pair.revision else None) for pair in (one, other)]
    return texts[0] == texts[1]
