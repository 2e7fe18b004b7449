"""Whether an annotator prefers what is shown first, where it is known what was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.records import Judgment
from core.statistics.bootstrap import Interval, wilson
from labelers.crowd.votes import annotator_of, current_judgments


@dataclass(frozen=True, slots=True)
class PositionBias:
    """How often an annotator chose the answer that was shown first."""

    annotator: str
    choices: int
    """Choices of one answer where it is known which was shown first."""
    first: Interval
    """Share that went to the first, with Wilson's interval; one half where the place has no part in it."""


def position_biases(judgments: Iterable[Judgment]) -> list[PositionBias]:
    """Return the liking of each annotator for the first place, in order of name."""
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
