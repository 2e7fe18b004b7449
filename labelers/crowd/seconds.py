"""How long annotators take for a decision, where that is recorded."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from core.records import Judgment
from labelers.crowd.votes import annotator_of, current_judgments


class SecondsPerVote(NamedTuple):
    """How long an annotator takes."""

    decisions: int
    """Decisions with a time; a ranking is one, and so are the aspects of one comparison."""
    median: float


def seconds_per_vote(judgments: Iterable[Judgment]) -> dict[str, SecondsPerVote]:
    """Return the median time of each annotator who has times, in order of name."""
    times: dict[str, dict[tuple[str, float], float]] = {}
    for judgment in current_judgments(judgments):
        if judgment.duration_s is not None:
            decision = (judgment.group or judgment.comparison_id, judgment.duration_s)
            times.setdefault(annotator_of(judgment), {})[decision] = judgment.duration_s
    return {name: SecondsPerVote(len(found), median(found.values())) for name, found in sorted(times.items())}
