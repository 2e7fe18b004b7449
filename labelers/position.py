"""Position bias of annotators: how often each one prefers the answer shown first, where that is recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.records import Judgment
from core.statistics.bootstrap import Interval, wilson
from labelers.crowd.votes import annotator_of, current_judgments

_NEARLY_ALL = 0.9
"""Share of choices for the answer in one place from which they are worth a word."""


@dataclass(frozen=True, slots=True)
class PositionBias:
    """How often an annotator chose the answer shown first."""

    annotator: str
    choices: int
    """Number of choices of one answer where the answer shown first is recorded."""
    first: Interval
    """Share of them for the answer shown first, with Wilson's interval; one half without position bias."""

    @property
    def chosen_first(self) -> int:
        """Number of choices of the answer shown first."""
        return round(self.first.value * self.choices)

    @property
    def goes_by_order(self) -> bool:
        """True if nearly all choices are for the answer in one place, more than chance explains."""
        share, is_half = self.first.value, self.first.low <= 0.5 <= self.first.high
        return not is_half and max(share, 1 - share) >= _NEARLY_ALL


def position_biases(judgments: Iterable[Judgment]) -> list[PositionBias]:
    """Return the position bias of each annotator, in order of name."""
    tallies: dict[str, list[int]] = {}
    for judgment in current_judgments(judgments):
        if judgment.shown_first is not None and judgment.verdict in ("a", "b"):
            tally = tallies.setdefault(annotator_of(judgment), [0, 0])
            tally[0] += judgment.verdict == judgment.shown_first
            tally[1] += 1
    return [
        PositionBias(name, total, wilson(hits / total, total))
        for name, (hits, total) in sorted(tallies.items())
    ]
