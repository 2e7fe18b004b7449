"""Judgments of machines under single principles, compared with what people voted for as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from core.records import Judgment
from core.statistics.bootstrap import Interval, wilson
from labelers.crowd.votes import MACHINES, by_comparison, votes_of


@dataclass(slots=True)
class RuleBesideVotes:
    """Counts of a machine's judgments under one principle, on comparisons that people voted on as a whole."""

    labeler: str
    """`ai` or `check`."""
    principle: str
    judged: int = 0
    decided: int = 0
    """Judgments that prefer an answer."""
    agrees: int = 0
    """Of these, those that prefer the answer that most votes are for."""
    against: int = 0
    """Those that prefer the other answer; where the votes are even, a judgment is neither."""
    against_in: list[str] = field(default_factory=list)
    """The comparisons of these."""

    @property
    def agreement(self) -> Interval | None:
        """Share that agrees of those that do or do not, with Wilson's interval; None without any."""
        number = self.agrees + self.against
        return wilson(self.agrees / number, number) if number else None


def rules_beside_votes(current: Iterable[Judgment]) -> list[RuleBesideVotes]:
    """Return the counts of each machine and principle, most decided first.

    Args:
        current: the judgments of machines and people that are not taken back.
    """
    judgments = list(current)
    leanings = _leanings(judgments)
    found: dict[tuple[str, str], RuleBesideVotes] = {}
    for one in judgments:
        leaning = leanings.get(one.comparison_id)
        if one.labeler not in MACHINES or one.principle_id is None or one.p_a is None or leaning is None:
            continue
        key = (one.labeler, one.principle_id)
        counts = found.setdefault(key, RuleBesideVotes(*key))
        side = (one.p_a - 0.5) * leaning
        counts.judged += 1
        counts.decided += one.p_a != 0.5
        counts.agrees += side > 0
        if side < 0:
            counts.against += 1
            counts.against_in.append(one.comparison_id)
    return sorted(found.values(), key=lambda one: (-one.decided, one.labeler, one.principle))


def _leanings(judgments: Iterable[Judgment]) -> dict[str, float]:
    """Return for each comparison how far people's votes as a whole lean to `a`: below 0 is to `b`."""
    whole = (one for one in judgments if one.labeler not in MACHINES and one.principle_id is None)
    return {
        comparison: sum(vote.weight * (vote.p_a - 0.5) for vote in votes if vote.p_a is not None)
        for comparison, votes in by_comparison(votes_of(whole)).items()
        if any(vote.p_a is not None for vote in votes)
    }
