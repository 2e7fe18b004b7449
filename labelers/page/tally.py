"""Counts of the annotators' current judgments, kept as judgments come and go, for the owner's page."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import cast

from core.records import Judgment
from labelers.crowd.agreement import PairTable
from labelers.crowd.votes import CHOICES, Choice


@dataclass
class AnnotatorTally:
    """Counts of one annotator's current decisions. A ranking is one decision with several judgments."""

    decided: int = 0
    rankings: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    """Number of decisions on pairs by verdict."""
    chose_first: int = 0
    """Number of decisions for the answer that was shown first."""
    _times_s: list[float] = field(default_factory=list)
    """Duration of each decision in seconds, sorted."""

    @property
    def median_s(self) -> float | None:
        """Median duration of a decision in seconds; None without a decision."""
        return median(self._times_s) if self._times_s else None

    @property
    def first_share(self) -> float | None:
        """Share of the decisions for one of two answers that chose the first; None without one."""
        chosen = self.verdicts["a"] + self.verdicts["b"]
        return self.chose_first / chosen if chosen else None

    def add(self, decision: Sequence[Judgment]) -> None:
        """Count a decision."""
        self._change(decision, 1)
        insort(self._times_s, _duration_s(decision))

    def remove(self, decision: Sequence[Judgment]) -> None:
        """Take a decision out of the counts."""
        self._change(decision, -1)
        del self._times_s[bisect_left(self._times_s, _duration_s(decision))]

    def _change(self, decision: Sequence[Judgment], by: int) -> None:
        first = decision[0]
        self.decided += by
        if len(decision) > 1:
            self.rankings += by
            return
        self.verdicts[first.verdict] += by
        self.chose_first += by * (first.verdict in ("a", "b") and first.verdict == first.shown_first)


class PairTallies:
    """The choices of each pair of annotators on the comparisons that both judged."""

    def __init__(self) -> None:
        self.tables: dict[tuple[str, str], PairTable] = {}
        """By the two names in order; no table is empty."""

    def change(self, judgment: Judgment, others: Iterable[Judgment], by: int) -> None:
        """Count a judgment against the other annotators' judgments on its comparison, or take it out.

        Args:
            judgment: the judgment that comes or goes.
            others: the other annotators' current judgments on the same comparison.
            by: 1 to count it, -1 to take it out.
        """
        if (mine := _choice(judgment)) is None:
            return
        for other in others:
            if (theirs := _choice(other)) is None:
                continue
            name, their_name = judgment.annotator or "", other.annotator or ""
            pair = (name, their_name) if name < their_name else (their_name, name)
            cell = (mine, theirs) if name < their_name else (theirs, mine)
            table = self.tables.setdefault(pair, Counter())
            table[cell] += by
            if not table[cell]:
                del table[cell]
            if not table:
                del self.tables[pair]


def _choice(judgment: Judgment) -> Choice | None:
    """Return the choice of a judgment that is a vote."""
    is_vote = judgment.verdict in CHOICES and judgment.weight > 0
    return cast("Choice", judgment.verdict) if is_vote else None


def _duration_s(decision: Sequence[Judgment]) -> float:
    return sum(judgment.duration_s or 0.0 for judgment in decision)
