"""Agreement of ratings: means, pairs of raters, Krippendorff's alpha for intervals, and cases that divide.

Let the answer u have m_u >= 2 ratings v_ui, and n = sum_u m_u. With the squared difference as distance,

    D_o = (1 / n) sum_u (1 / (m_u - 1)) sum_(i != j) (v_ui - v_uj)^2
    D_e = (1 / (n (n - 1))) sum over all ordered pairs of different ratings (v - v')^2
    alpha = 1 - D_o / D_e                                    (Krippendorff 2011, interval data)

A rating that a rater did not give is missing data. Both sums follow from the number, sum and sum of squares
of the ratings of each answer, so that the bootstrap over answers is a product of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from core.statistics.bootstrap import Floats, Interval, pattern_interval
from publius.labels.ratings.table import AnswerRatings

_SEED = 0
FEWEST_FOR_ALPHA = 5
"""Answers with two ratings or more from which alpha has an interval."""


@dataclass(frozen=True, slots=True)
class RaterMean:
    """One rater."""

    name: str
    ratings: int
    mean: float


@dataclass(frozen=True, slots=True)
class RaterPair:
    """Two raters on the answers that both rated."""

    first: str
    second: str
    answers: int
    exact: float
    """Share of the answers with the same rating."""
    within_one: float
    """Share with ratings that differ by 1 at most."""
    mean_difference: float
    """Mean of the first one's rating less the second one's."""


@dataclass(frozen=True, slots=True)
class DividedCase:
    """An answer on which raters differ."""

    case: str
    ratings: dict[str, float]

    @property
    def spread(self) -> float:
        """The highest less the lowest rating."""
        return max(self.ratings.values()) - min(self.ratings.values())


@dataclass(frozen=True)
class RatingAgreement:
    """Agreement of all raters."""

    answers: int
    shared: int
    """Number of answers with two ratings or more."""
    raters: tuple[RaterMean, ...]
    pairs: tuple[RaterPair, ...]
    """Pairs of raters with an answer in common."""
    alpha: Interval | None
    """Krippendorff's alpha for intervals, with the interval over answers; None if it is undefined."""
    divided: tuple[DividedCase, ...]
    """The answers on which raters differ, most first."""

    def as_json(self) -> dict[str, Any]:
        """Return the agreement as JSON-able values."""
        return {
            "answers": self.answers,
            "shared": self.shared,
            "raters": [asdict(one) for one in self.raters],
            "pairs": [asdict(one) for one in self.pairs],
            "alpha": None if self.alpha is None else self.alpha._asdict(),
            "divided": [asdict(one) | {"spread": one.spread} for one in self.divided],
        }


def rating_agreement(rows: Sequence[AnswerRatings], raters: Sequence[str]) -> RatingAgreement:
    """Return the agreement of raters on answers.

    Args:
        rows: the rated answers.
        raters: the raters, in the order to report them.
    """
    given = {rater: [row.ratings[rater] for row in rows if rater in row.ratings] for rater in raters}
    pairs = (_pair(rows, *two) for two in combinations(raters, 2))
    shared = [row for row in rows if len(row.ratings) > 1]
    divided = [DividedCase(row.case, dict(row.ratings)) for row in shared]
    return RatingAgreement(
        answers=len(rows),
        shared=len(shared),
        raters=tuple(RaterMean(name, len(v), sum(v) / len(v)) for name, v in given.items() if v),
        pairs=tuple(pair for pair in pairs if pair is not None),
        alpha=interval_alpha([list(row.ratings.values()) for row in shared]),
        divided=tuple(sorted((one for one in divided if one.spread), key=lambda one: -one.spread)),
    )


def interval_alpha(units: Sequence[Sequence[float]]) -> Interval | None:
    """Return Krippendorff's alpha for intervals with its 95 % interval over units; None if undefined.

    Args:
        units: the ratings of each unit, in any order; units with one rating are ignored. With fewer than
            `FEWEST_FOR_ALPHA` units, the ends of the interval are those of a bootstrap that says little.
    """
    shared = [np.asarray(unit, dtype=np.float64) for unit in units if len(unit) > 1]
    if not shared:
        return None
    numbers = np.array([len(unit) for unit in shared], dtype=np.float64)
    center = float(np.concatenate(shared).mean())  # far from zero, squares would lose digits
    sums = np.array([(unit - center).sum() for unit in shared])
    squares = np.array([((unit - center) ** 2).sum() for unit in shared])
    within = 2 * (numbers * squares - sums**2) / (numbers - 1)

    def alpha(drawn: Floats) -> Floats:
        n, s, q = drawn @ numbers, drawn @ sums, drawn @ squares
        expected = 2 * (n * q - s**2) / (n * (n - 1))
        observed = drawn @ within / n
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(expected > 1e-12, 1 - observed / expected, np.nan)

    return pattern_interval(alpha, [1] * len(shared), _SEED)


def _pair(rows: Sequence[AnswerRatings], first: str, second: str) -> RaterPair | None:
    found = [
        row.ratings[first] - row.ratings[second] for row in rows if {first, second} <= row.ratings.keys()
    ]
    if not found:
        return None
    number = len(found)
    exact, near = sum(one == 0 for one in found), sum(abs(one) <= 1 for one in found)
    return RaterPair(first, second, number, exact / number, near / number, sum(found) / number)
