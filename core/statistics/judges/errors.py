"""A rate that a judge counted, corrected by its sensitivity and specificity (Rogan and Gladen 1978).

A judge that calls a share Se of the positives and 1 - Sp of the negatives positive counts, at a true rate
theta, the rate p = theta Se + (1 - theta) (1 - Sp). Solved for theta:

    theta = (p + Sp - 1) / (Se + Sp - 1)

The interval is that of Lang and Reiczigel (2014, Preventive Veterinary Medicine 113), which includes the
errors of Se and Sp: before the formula is applied, z^2 / 2 positives of z^2 are added to the counted ones and
one of two to those behind Se and Sp, and the middle is shifted for the skewness that this leaves.

Unlike `core.statistics.judges.rates`, the gold labels may come from other items than those counted, as long
as the judge errs on both alike.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from core.statistics.bootstrap import LEVEL, Interval


def adjusted_for_errors(
    share: float, trials: float, sensitivity: tuple[float, int], specificity: tuple[float, int]
) -> Interval | None:
    """Return the true rate behind a counted one, with its 95 % interval.

    Args:
        share: share of the trials that the judge calls positive.
        trials: number of trials; greater than 0.
        sensitivity: share of gold positives that the judge calls positive, and their number.
        specificity: share of gold negatives that the judge calls negative, and their number.

    Returns:
        The rate, or None if the judge carries no information: Se + Sp is not above 1.
    """
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    (se, positives), (sp, negatives) = _with_one_of_two(*sensitivity), _with_one_of_two(*specificity)
    power = se + sp - 1
    if power <= 0 or sensitivity[0] + specificity[0] <= 1:
        return None
    count = trials + z * z
    counted = (trials * share + z * z / 2) / count
    rate = (counted + sp - 1) / power
    se_error, sp_error = se * (1 - se) / positives, sp * (1 - sp) / negatives
    shift = 2 * z * z * (rate * se_error - (1 - rate) * sp_error)
    variance = counted * (1 - counted) / count + rate**2 * se_error + (1 - rate) ** 2 * sp_error
    half = z * math.sqrt(variance) / power
    value = _clipped((share + specificity[0] - 1) / (sensitivity[0] + specificity[0] - 1))
    low, high = _clipped(rate + shift - half), _clipped(rate + shift + half)
    return Interval(value, min(low, value), max(high, value))


def _with_one_of_two(share: float, count: int) -> tuple[float, float]:
    return (share * count + 1) / (count + 2), count + 2.0


def _clipped(rate: float) -> float:
    return min(1.0, max(0.0, rate))
