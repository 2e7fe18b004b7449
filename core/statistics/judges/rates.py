"""A rate that a judge measured, corrected by a few gold labels: prediction-powered inference.

The judge gives a value f in [0, 1] for every item, and n of the items have a gold label y too. The mean of f
is biased by the judge's errors, the mean of the n gold labels is not but varies more. PPI++ (Angelopoulos,
Duchi and Zrnic 2023, arXiv 2311.01453, section 6) subtracts the judge's error, measured on the gold labels:

    theta = mean(y) + lambda (mean(f on the N other items) - mean(f on the gold items))
    lambda = cov(y, f) / ((1 + n / N) var(f))

which is unbiased for any fixed lambda, and with this one never asymptotically worse than the gold labels
alone. Its variance is var(y - lambda f) / n + lambda^2 var(f) / N.

The interval is not the paper's normal one, which leaves [0, 1] and is too narrow for rare events. The
variance is turned into a number of trials: the number of gold labels whose mean would vary as little.
Wilson's score interval with these trials is bounded and right near 0 and 1. Two corrections for few labels
apply: Student's t for the normal quantile, and a pseudo-residual, without which a judge that happens to agree
with every gold label would count as infallible.

The rate is that of the population which the items were drawn from, and the gold items must be a random sample
of the items: labels of doubtful comparisons only (`publius select` without its controls) do not qualify.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from core.errors import DataError
from core.statistics.bootstrap import LEVEL, Floats, Interval, wilson

FEWEST_GOLD = 10
"""Number of gold labels below which a judge's errors are not estimated, and gold alone counts."""
_TEST_LEVEL = 0.05
"""Level of the one-sided test that the judge agrees with gold more than by chance."""
_PSEUDO_RESIDUAL = 0.1
"""Squared error added to the judge's sum of squared errors. One wrong answer of a good judge adds about 1."""
_EVEN = 0.5


@dataclass(frozen=True, slots=True)
class CorrectedRate:
    """A judged rate after correction by gold labels, beside the two rates that it combines."""

    rate: Interval
    """The corrected rate with its 95 % interval; gold alone if the judge was refused."""
    gold: Interval
    """The rate on the gold labels alone, with its 95 % interval."""
    judged: float
    """Mean of the judge's values over all items, without correction."""
    weight: float
    """lambda: the weight of the judge's values; 0 if it was refused."""
    labels: int
    """Number of gold labels, n."""
    items: int
    """Number of all items, n + N."""
    refused: str = ""
    """The reason why the judge's values were not used; empty if they were."""

    @property
    def narrowing(self) -> float:
        """Width of the interval as a share of that of gold alone; 1 if the judge added nothing."""
        return (self.rate.high - self.rate.low) / (self.gold.high - self.gold.low)


@dataclass(frozen=True, slots=True)
class JudgeAccuracy:
    """How often a judge's verdicts are right for each gold label; None where gold has no such label."""

    sensitivity: Interval | None
    """Share of gold positives that the judge calls positive."""
    specificity: Interval | None
    """Share of gold negatives that the judge calls negative."""
    informedness: Interval | None
    """sensitivity + specificity - 1 (Youden 1950): 0 if the judge ignores the item, 1 if it is perfect."""


def corrected_rate(gold: Floats, judged: Floats, rest: Floats) -> CorrectedRate:
    """Return the rate of gold positives among all items, with its 95 % interval.

    If the judge carries no information, the result is that of gold alone, and `refused` says why. This is the
    case if the correlation of judge and gold is not above 0 by a one-sided t test at 5 %. For verdicts of 0
    and 1 the correlation is positive exactly if sensitivity + specificity > 1.

    Args:
        gold: gold labels in [0, 1] of the items that have one, (n,); at least one.
        judged: the judge's values in [0, 1] for these items, (n,).
        rest: the judge's values for the other items, (N,).

    Raises:
        DataError: there are no gold labels, the lengths differ, or a value is outside [0, 1].
    """
    y, f, others = (_checked(values) for values in (gold, judged, rest))
    _require_pairs(y, f)
    alone = _gold_alone(y)
    everything = np.concatenate([f, others])
    judged_mean = float(everything.mean())
    refused = refusal_reason(y, f, others)
    if refused:
        return CorrectedRate(alone, alone, judged_mean, 0.0, len(y), len(everything), refused)
    n, unlabelled = len(y), len(others)
    weight = float(np.cov(y, f)[0, 1] / (everything.var(ddof=1) * (1 + n / unlabelled)))
    rate = min(1.0, max(0.0, float(y.mean() + weight * (others.mean() - f.mean()))))
    residuals = y - weight * f
    # Two degrees of freedom are lost: the mean and lambda are both estimated from the gold labels.
    spread = (float(np.square(residuals - residuals.mean()).sum()) + _PSEUDO_RESIDUAL) / (n - 2)
    variance = spread / n + weight**2 * float(everything.var(ddof=1)) / unlabelled
    trials = _trials(y) * float(y.var(ddof=1)) / n / variance / _widening(n)
    if trials <= _trials(y):
        return CorrectedRate(alone, alone, judged_mean, 0.0, n, len(everything), no_information(y, f))
    return CorrectedRate(wilson(rate, trials), alone, judged_mean, weight, n, len(everything))


def judge_accuracy(gold: Floats, judged: Floats) -> JudgeAccuracy:
    """Return sensitivity, specificity and their sum minus 1, each with its 95 % interval.

    Values above one half are positive and values below are negative. A judge's value of exactly one half is
    half right, and a gold label of exactly one half is a tie, which is skipped. The intervals are Wilson's,
    and for the sum Newcombe's (Statistics in Medicine 1998, method 10).

    Args:
        gold: gold labels in [0, 1], (n,).
        judged: the judge's values in [0, 1], (n,).

    Raises:
        DataError: there are no gold labels, the lengths differ, or a value is outside [0, 1].
    """
    y, f = _checked(gold), _checked(judged)
    _require_pairs(y, f)
    positive = _EVEN * (1 + np.sign(f - _EVEN))
    sensitivity = _share(positive[y > _EVEN])
    specificity = _share(1 - positive[y < _EVEN])
    if sensitivity is None or specificity is None:
        return JudgeAccuracy(sensitivity, specificity, None)
    parts = (sensitivity, specificity)
    value = sensitivity.value + specificity.value - 1
    down = math.hypot(*(part.value - part.low for part in parts))
    up = math.hypot(*(part.high - part.value for part in parts))
    return JudgeAccuracy(sensitivity, specificity, Interval(value, value - down, value + up))


def _share(values: Floats) -> Interval | None:
    return wilson(float(values.mean()), len(values)) if len(values) else None


def _gold_alone(y: Floats) -> Interval:
    return wilson(float(y.mean()), _trials(y))


def _trials(y: Floats) -> float:
    """Return the number of yes-or-no labels whose mean varies as the mean of these labels does, at least n.

    It is n for labels of 0 and 1, and more for graded labels, which vary less.
    """
    n, mean = len(y), float(y.mean())
    if n < 2:
        return float(n)
    spread = (float(np.square(y - mean).sum()) + _PSEUDO_RESIDUAL) / (n - 1)
    return n * max(1.0, mean * (1 - mean) / spread)


def refusal_reason(y: Floats, f: Floats, others: Floats) -> str:
    """Return the reason why the judge's values cannot be used, or an empty string.

    Args:
        y: gold labels in [0, 1], (n,).
        f: the judge's values for the same items, (n,).
        others: the judge's values for the other items, (N,).
    """
    from scipy.special import stdtrit

    n = len(y)
    if not len(others):
        return "every item has a gold label"
    if n < FEWEST_GOLD:
        return f"{n} gold labels are too few to estimate the judge's errors; accepted: at least {FEWEST_GOLD}"
    if not np.ptp(y):
        return f"all {n} gold labels are the same, so the judge's errors cannot be estimated"
    if not np.ptp(f):
        return "the judge carries no information: it gives every gold item the same value"
    r = float(np.corrcoef(y, f)[0, 1])
    t = r * math.sqrt((n - 2) / max(1 - r * r, 1e-12))
    return "" if t > float(stdtrit(n - 2, 1 - _TEST_LEVEL)) else no_information(y, f)


def no_information(y: Floats, f: Floats) -> str:
    """Return that the judge's values carry no information about gold labels, with the numbers that say so."""
    accuracy = judge_accuracy(y, f)
    found = f"its correlation with {len(y)} gold labels is {float(np.corrcoef(y, f)[0, 1]):.2f}"
    if accuracy.sensitivity is not None and accuracy.specificity is not None:
        total = accuracy.sensitivity.value + accuracy.specificity.value
        found += f", sensitivity + specificity {total:.2f}"
    return f"the judge carries no information beyond noise: {found}"


def _widening(n: int) -> float:
    """Return the squared ratio of Student's quantile with n - 2 degrees of freedom to the normal one."""
    from scipy.special import stdtrit

    tail = (1 + LEVEL) / 2
    return (float(stdtrit(n - 2, tail)) / NormalDist().inv_cdf(tail)) ** 2


def _checked(values: Floats) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    wrong = ~((found >= 0) & (found <= 1))  # true for nan
    if wrong.any():
        place = int(np.argmax(wrong))
        raise DataError(f"value {place + 1} is {found[place]}", accepted="numbers from 0 to 1")
    return found


def _require_pairs(y: Floats, f: Floats) -> None:
    if not len(y) or len(y) != len(f):
        raise DataError(
            f"found {len(y)} gold labels and {len(f)} values of the judge for them",
            accepted="at least one gold label, and one value of the judge for each",
        )
