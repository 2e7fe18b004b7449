"""Intervals for means and other figures over prompts or comparisons: the percentile bootstrap.

With x_1 ... x_n the values on n prompts, each of R resamples draws n prompts with replacement and takes the
mean of their values; the interval runs from the 2.5 % to the 97.5 % quantile of the R means (Efron and
Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3). All rows, one for each model or
difference between models, are resampled by the same draws of prompts, as Koehn does ("Statistical
significance tests for machine translation evaluation", EMNLP 2004): what makes a prompt hard for every
model then cancels in a difference.

The interval speaks of prompts: what would another set of prompts of the same kind have shown? It does not
speak of training runs. With few prompts it is too narrow, by about a factor sqrt((n - 1) / n) and more, and a
row of equal values has none at all: `wilson` gives one for shares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError

Floats = NDArray[np.float64]

RESAMPLES = 10_000
LEVEL = 0.95
_DRAWS_AT_ONCE = 2_000_000
"""Prompts drawn in one step: bounds the memory to some tens of megabytes."""


class Interval(NamedTuple):
    """A figure and its 95 % interval, in the unit of the figure."""

    value: float
    low: float
    high: float


def paired_intervals(
    rows: Sequence[Sequence[float]], seed: int, resamples: int = RESAMPLES
) -> tuple[Interval, ...]:
    """Return the mean of each row and its 95 % interval, all from the same resamples of the columns.

    Args:
        rows: one sequence per model or difference, with the value of each prompt; all of one length, at
            least 1. A row of equal values, and so a row of one value, has an interval of no width.
        seed: the same seed and number of prompts draw the same resamples.
        resamples: how many means each interval is read off.

    Raises:
        DataError: the rows are empty, of different lengths, or hold a value that is not finite.
    """
    values = _matrix(rows)
    # Less its first value, a row of equal values is exactly zero, and so are the means of all its resamples.
    shift = values[:, :1]
    centred = values - shift
    means = centred.mean(axis=1, keepdims=True) + shift
    tail = (1 - LEVEL) / 2
    bounds = np.quantile(_resampled_means(centred, seed, resamples), (tail, 1 - tail), axis=1) + shift.T
    return tuple(
        Interval(float(value), float(low), float(high))
        for value, low, high in zip(means[:, 0], bounds[0], bounds[1], strict=True)
    )


def pattern_interval(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    counts: Sequence[int],
    seed: int,
) -> Interval | None:
    """Return a figure of many cases that fall into few patterns, with its 95 % interval over the cases.

    A resample of n cases with replacement is a draw of how often each pattern occurs: a multinomial of n with
    the patterns' shares. That is the same bootstrap, at a cost that does not grow with n.

    Args:
        statistic: from the occurrences of each pattern, [R, patterns], the figure of each of R samples, [R];
            nan where the figure is not defined.
        counts: how often each pattern occurs; one case at least.
        seed: the same seed and counts draw the same resamples.

    Returns:
        The figure and its interval, or None if the figure is not defined for the cases themselves. Resamples
        for which it is not defined are passed over.
    """
    occurrences = np.asarray(counts, dtype=np.float64)
    value = float(statistic(occurrences[None, :])[0])
    if not np.isfinite(value):
        return None
    total = int(occurrences.sum())
    drawn = np.random.default_rng(seed).multinomial(total, occurrences / total, size=RESAMPLES)
    figures = statistic(drawn.astype(np.float64))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(figures[np.isfinite(figures)], (tail, 1 - tail))
    return Interval(value, float(low), float(high))


def wilson(share: float, trials: float) -> Interval:
    """Return a share with its 95 % interval by the score of E. B. Wilson (JASA 1927).

    Args:
        share: of successes, in [0, 1].
        trials: how many there were, or the effective number of weighted ones; more than 0.
    """
    z2 = NormalDist().inv_cdf((1 + LEVEL) / 2) ** 2 / trials
    middle = (share + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * share * (1 - share) + z2**2 / 4) / (1 + z2)
    return Interval(share, max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))


def _matrix(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or 0 in lengths:
        found = f"{len(rows)} rows of {', '.join(map(str, sorted(lengths))) or 'no'} values"
        raise DataError(f"found {found}", accepted="rows with one value for each of the same prompts")
    values = np.asarray(rows, dtype=np.float64)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        what = f"value {column + 1} of row {row + 1} is {values[row, column]}"
        raise DataError(what, accepted="finite values")
    return values


def _resampled_means(values: NDArray[np.float64], seed: int, resamples: int) -> NDArray[np.float64]:
    """Return the means of all resamples, one row for each row of values."""
    generator = np.random.default_rng(seed)
    prompts = values.shape[1]
    at_once = max(1, _DRAWS_AT_ONCE // prompts)
    means = []
    for start in range(0, resamples, at_once):
        drawn = generator.integers(prompts, size=(min(at_once, resamples - start), prompts))
        means.append(np.stack([row[drawn].mean(axis=1) for row in values]))
    return np.concatenate(means, axis=1)
