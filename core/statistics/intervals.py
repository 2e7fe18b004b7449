"""Intervals of a mean over prompts: of shares, of differences of shares, and of any other number.

Each value is that of one prompt, for example the share of its samples that pass a check, so that samples of
one prompt never count as independent. The percentile bootstrap of shares is too narrow with few prompts, and
has no width if all values are equal; the intervals of this module are not. Their coverage by simulation is in
docs/methods.md (`benchmarks/evaluation_intervals.py`).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Literal

from core.lazy import require
from core.statistics.bootstrap import LEVEL, Floats, Interval

ValueKind = Literal["share", "difference", "mean"]
"""Values in [0, 1]; differences of such values, in [-1, 1]; any other numbers."""
_ADDED = 0.5
"""Number of prompts that the interval of a difference of shares adds."""


def interval_by_kind(kind: ValueKind, values: Floats, level: float = LEVEL) -> Interval | None:
    """Return the mean of values and its interval, by the kind of the values.

    Args:
        kind: the range of the values.
        values: (N,), one for each prompt; finite.
        level: probability that the interval covers the true mean.

    Returns:
        The interval, or None where there is none: a single value whose range is unknown.
    """
    if kind == "share":
        return share_interval(values, level)
    if kind == "difference":
        return share_difference_interval(values, level)
    return mean_interval(values, level) if len(values) > 1 else None


def share_interval(values: Floats, level: float = LEVEL) -> Interval:
    """Return the mean of values in [0, 1] with Wilson's score interval for as many trials as they are worth.

    Values that vary less than those of single trials, such as shares of several samples, are worth more
    trials: N m (1 - m) / s^2 for a mean m and a variance s^2. To estimate s^2, one value with the variance
    m (1 - m) of a single trial is added, or values that happen to be equal would be certain. Of single
    trials it is Wilson's interval itself (E. B. Wilson, JASA 1927; effective trials as in Korn and Graubard
    1998, Survey Methodology 24).

    Args:
        values: (N,), N > 0.
        level: probability that the interval covers the true mean.
    """
    mean, count = _mean(values), len(values)
    single = mean * (1 - mean)
    trials = float(count)
    if single > 0:
        squares = float(((values - mean) ** 2).sum())
        trials = count * single / ((squares + single) / (count + 1))
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2 / trials
    middle = (mean + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * single + z2**2 / 4) / (1 + z2)
    return Interval(mean, max(0.0, min(middle - half, mean)), min(1.0, max(middle + half, mean)))


def share_difference_interval(values: Floats, level: float = LEVEL) -> Interval:
    """Return the mean of paired differences of shares with its adjusted Wald interval.

    Agresti and Min (Statistics in Medicine 24, 2005) add half a pair to each of the four outcomes of two
    paired trials. Here half a prompt is added, which changes by 1 and by -1 in equal parts, and the quantile
    is Student's: the middle moves towards zero, and an interval has a width even if no prompt changed. With
    a whole prompt, intervals of 48 prompts covered more than 97 %.

    Args:
        values: (N,), in [-1, 1], N > 0.
        level: probability that the interval covers the true mean.
    """
    mean, count = _mean(values), len(values) + _ADDED
    middle = float(values.sum()) / count
    variance = (float((values**2).sum()) + _ADDED) / count - middle**2
    half = student_quantile(max(1, len(values) - 1), level) * math.sqrt(variance / count)
    return Interval(mean, max(-1.0, min(middle - half, mean)), min(1.0, max(middle + half, mean)))


def mean_interval(values: Floats, level: float = LEVEL) -> Interval:
    """Return the mean of at least two values with Student's interval; equal values have one of zero width.

    Args:
        values: (N,), N > 1.
        level: probability that the interval covers the true mean.
    """
    mean = _mean(values)
    # Subtract the first value: equal values are then exactly zero, without rounding in the mean.
    error = float((values - values[0]).std(ddof=1)) / math.sqrt(len(values))
    half = student_quantile(len(values) - 1, level) * error
    return Interval(mean, mean - half, mean + half)


def student_quantile(degrees: float, level: float) -> float:
    """Return the factor by which a standard error is multiplied in a two-sided t interval."""
    return float(require("scipy.special", "train").stdtrit(degrees, (1 + level) / 2))


def _mean(values: Floats) -> float:
    return float((values - values[0]).mean() + values[0])
