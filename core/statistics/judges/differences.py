"""A paired difference that a judge measured, corrected by a few gold labels: prediction-powered inference.

The judge gives a difference f in [-1, 1] for every prompt, such as its rating of one answer less that of
another, and n of the prompts have a gold difference y too. The estimate is that of
`core.statistics.judges.rates` (PPI++, Angelopoulos, Duchi and Zrnic 2023, arXiv 2311.01453, section 6):

    theta = mean(y) + lambda (mean(f on the N other prompts) - mean(f on the gold prompts))
    variance = var(y - lambda f) / n + lambda^2 var(f) / N

The interval is Student's with n - 2 degrees of freedom, since mean and lambda are estimated from the gold
labels. As in `core.statistics.intervals.share_difference_interval`, half a prompt that changes by 1 is added
to the squares: otherwise a judge that happens to agree with every gold label would count as infallible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.errors import DataError
from core.lazy import require
from core.statistics.bootstrap import LEVEL, Floats, Interval
from core.statistics.intervals import share_difference_interval, student_quantile
from core.statistics.judges.rates import no_information, refusal_reason

_ADDED = 0.5
"""Squared residual that is added to those of the gold labels."""


@dataclass(frozen=True, slots=True)
class CorrectedDifference:
    """A judged difference after correction by gold labels, beside the two that it combines."""

    difference: Interval
    """The corrected difference with its interval; gold alone if the judge was refused."""
    gold: Interval
    """The difference on the gold labels alone, with its interval."""
    judged: float
    """Mean of the judge's differences over all prompts, without correction."""
    weight: float
    """lambda: the weight of the judge's differences; 0 if it was refused."""
    labels: int
    """Number of prompts with gold labels, n."""
    items: int
    """Number of all prompts, n + N."""
    p_value: float | None
    """Two-sided p-value of no difference, of the t test with this variance; None if the judge was refused."""
    refused: str = ""
    """The reason why the judge's differences were not used; empty if they were."""


def corrected_difference(
    gold: Floats, judged: Floats, rest: Floats, level: float = LEVEL
) -> CorrectedDifference:
    """Return the mean paired difference by gold, with its interval.

    If the judge's differences carry no information about those of gold, the result is that of gold alone, and
    `refused` says why, by the rules of `core.statistics.judges.rates.corrected_rate`.

    Args:
        gold: gold differences in [-1, 1] of the prompts that have one, (n,); at least one.
        judged: the judge's differences in [-1, 1] for these prompts, (n,).
        rest: the judge's differences for the other prompts, (N,).
        level: probability that the interval covers the true mean.

    Raises:
        DataError: there are no gold labels, the lengths differ, or a value is outside [-1, 1].
    """
    y, f, others = (_checked(values) for values in (gold, judged, rest))
    if not len(y) or len(y) != len(f):
        raise DataError(
            f"found {len(y)} gold differences and {len(f)} of the judge for them",
            accepted="at least one gold difference, and one of the judge for each",
        )
    everything = np.concatenate([f, others])
    alone, judged_mean = share_difference_interval(y, level), float(everything.mean())
    n, rest_count = len(y), len(others)
    refused = refusal_reason(_halved(y), _halved(f), _halved(others))
    if refused:
        return CorrectedDifference(alone, alone, judged_mean, 0.0, n, len(everything), None, refused)
    weight = float(np.cov(y, f)[0, 1] / (everything.var(ddof=1) * (1 + n / rest_count)))
    value = float(np.clip(y.mean() + weight * (others.mean() - f.mean()), -1.0, 1.0))
    residuals = y - weight * f
    spread = (float(np.square(residuals - residuals.mean()).sum()) + _ADDED) / (n - 2)
    error = math.sqrt(spread / n + weight**2 * float(everything.var(ddof=1)) / rest_count)
    half = student_quantile(n - 2, level) * error
    if 2 * half >= alone.high - alone.low:
        reason = no_information(_halved(y), _halved(f))
        return CorrectedDifference(alone, alone, judged_mean, 0.0, n, len(everything), None, reason)
    interval = Interval(value, max(-1.0, value - half), min(1.0, value + half))
    p_value = 2 * float(require("scipy.special", "train").stdtr(n - 2, -abs(value) / error))
    return CorrectedDifference(interval, alone, judged_mean, weight, n, len(everything), p_value)


def _halved(values: Floats) -> Floats:
    """Return differences as numbers in [0, 1], in which one half is no difference."""
    return np.asarray((values + 1) / 2)


def _checked(values: Floats) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    wrong = ~(np.abs(found) <= 1)  # true for nan
    if wrong.any():
        place = int(np.argmax(wrong))
        raise DataError(f"value {place + 1} is {found[place]}", accepted="numbers from -1 to 1")
    return found
