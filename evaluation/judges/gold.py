"""Gold comparisons: pairs of answers of which people, or the authors of a data set, said which one is better.

An audit orients each pair by its gold label. The votes of several annotators are put together as a run
does it (`label.aggregation`). A pair in which they prefer neither answer has no gold label; it is
excluded and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.digests import derive_uniform
from core.records import Comparison, Judgment
from labelers.crowd.methods import Aggregation, aggregate_votes
from labelers.crowd.votes import MACHINES, NO_HUMAN_JUDGMENT, Vote, by_comparison, mostly_both_bad, votes_of

TUNING_SHARE = 1 / 3
"""Share of the prompts whose pairs decide between labelers; the others measure the one that is chosen."""
_EVEN = 0.5


@dataclass(frozen=True)
class GoldPair:
    """A comparison and the answer that is known to be better."""

    comparison: Comparison
    better: Literal["a", "b"]
    shown_first: Literal["a", "b"] | None = None
    """The answer that comes first in the data, if the data say so."""

    @property
    def sign(self) -> int:
        """1 if `a` is better, -1 if `b` is: the gold label of log-odds of `a`."""
        return 1 if self.better == "a" else -1

    @property
    def good(self) -> str:
        """The better answer."""
        return self.comparison.response_a if self.better == "a" else self.comparison.response_b

    @property
    def bad(self) -> str:
        """The worse answer."""
        return self.comparison.response_b if self.better == "a" else self.comparison.response_a


@dataclass(frozen=True)
class Gold:
    """The gold pairs of one or several sources, and what was not used."""

    pairs: tuple[GoldPair, ...]
    excluded: Mapping[str, int]
    """Number of comparisons without a gold label, by reason."""


def gold_pairs(
    comparisons: Iterable[Comparison], judgments: Iterable[Judgment], method: Aggregation = "graded"
) -> Gold:
    """Return the gold pairs of comparisons with human judgments, in order of id.

    Args:
        comparisons: the comparisons.
        judgments: judgments of these comparisons; those of automatic labelers are ignored.
        method: how the votes of several annotators are put together.
    """
    by_comparison_id: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        if judgment.labeler not in MACHINES:
            by_comparison_id.setdefault(judgment.comparison_id, []).append(judgment)
    votes = votes_of(judgment for found in by_comparison_id.values() for judgment in found)
    voted, p_a = by_comparison(votes), aggregate_votes(votes, method).p_a
    pairs, excluded = [], Counter[str]()
    for comparison in sorted(comparisons, key=lambda comparison: comparison.id):
        own = voted.get(comparison.id, [])
        found = _gold_pair(comparison, by_comparison_id.get(comparison.id, []), own, p_a.get(comparison.id))
        if isinstance(found, str):
            excluded[found] += 1
        else:
            pairs.append(found)
    return Gold(tuple(pairs), dict(excluded))


def _gold_pair(
    comparison: Comparison, judgments: Sequence[Judgment], votes: Sequence[Vote], p_a: float | None
) -> GoldPair | str:
    """Return the pair of a comparison, or the reason why it has no gold label."""
    if not votes:
        return NO_HUMAN_JUDGMENT
    if mostly_both_bad(votes):
        return "annotators find both answers bad"
    if p_a is None or p_a == _EVEN:
        return "annotators prefer neither answer"
    places = {judgment.shown_first for judgment in judgments if judgment.shown_first is not None}
    return GoldPair(comparison, "a" if p_a > _EVEN else "b", places.pop() if len(places) == 1 else None)


def sampled(pairs: Sequence[GoldPair], limit: int | None, seed: int) -> tuple[GoldPair, ...]:
    """Return at most `limit` pairs, drawn by a hash of the seed and their ids, in order of id."""
    drawn = sorted(pairs, key=lambda pair: derive_uniform(seed, "audit rows", pair.comparison.id))
    return tuple(sorted(drawn[:limit], key=lambda pair: pair.comparison.id))


def tuning_slice(pairs: Sequence[GoldPair], seed: int) -> tuple[tuple[GoldPair, ...], tuple[GoldPair, ...]]:
    """Return the pairs to choose a labeler on, and the rest. All pairs of a prompt are on one side."""
    tuning: list[GoldPair] = []
    rest: list[GoldPair] = []
    for pair in pairs:
        place = derive_uniform(seed, "audit slice", pair.comparison.prompt.id)
        (tuning if place < TUNING_SHARE else rest).append(pair)
    return tuple(tuning), tuple(rest)
