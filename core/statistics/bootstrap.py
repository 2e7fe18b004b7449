"""Percentile bootstrap intervals for means and other statistics over prompts or comparisons.

With x_1 ... x_n the values on n prompts, each of R resamples draws n prompts with replacement and takes the
mean of their values. The interval runs from the 2.5 % to the 97.5 % quantile of the R means (Efron and
Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3). All rows, one for each model or
difference between models, use the same resamples of prompts, as in Koehn ("Statistical significance tests for
machine translation evaluation", EMNLP 2004). A prompt that is hard for every model then cancels in a
difference.

The interval describes the variation over prompts, that is, over other sets of prompts of the same kind. It
does not describe the variation over training runs. With few prompts it is too narrow, by a factor of about
sqrt((n - 1) / n) or more, and for a row of equal values its width is zero. Use `wilson` for shares.
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
"""Number of prompts drawn in one step; limits the memory to some tens of megabytes."""


class Interval(NamedTuple):
    """A value and its 95 % interval, in the same unit."""

    value: float
    low: float
    high: float


def paired_intervals(
    rows: Sequence[Sequence[float]], seed: int, resamples: int = RESAMPLES
) -> tuple[Interval, ...]:
    """Return the mean of each row and its 95 % interval, all from the same resamples of the columns.

    Args:
        rows: one sequence per model or difference, with one value per prompt; all of the same length, at
            least 1. The interval of a row of equal values, or of a single value, has zero width.
        seed: seed of the resamples; the same seed and number of prompts give the same resamples.
        resamples: number of resamples for each interval.

    Raises:
        DataError: the rows are empty, have different lengths, or contain a value that is not finite.
    """
    values = value_matrix(rows)
    # Subtract the first value: a row of equal values is then exactly zero, without rounding in the means.
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
    contents: Floats | None = None,
) -> Interval | None:
    """Return a statistic of many cases that fall into few patterns, with its 95 % interval over the cases.

    A resample of n cases with replacement only changes how often each pattern occurs. These counts follow a
    multinomial distribution of n with the patterns' shares. Drawing the counts is the same bootstrap, at a
    cost that does not grow with n. Where cases depend on each other in clusters, the clusters are resampled:
    clusters with the same patterns are of one kind, and the counts are those of the kinds.

    Args:
        statistic: computes the statistic of each of R samples, [R], from the counts of each pattern,
            [R, patterns]; nan where the statistic is not defined.
        counts: the number of cases of each pattern, or of clusters of each kind; at least one in all.
        seed: seed of the resamples; the same seed and counts give the same resamples.
        contents: the number of cases of each pattern in a cluster of each kind, [kinds, patterns]; if not
            given, each case is a cluster.

    Returns:
        The statistic and its interval, or None if the statistic is not defined for the cases themselves.
        Resamples for which it is not defined are ignored.
    """
    occurrences = np.asarray(counts, dtype=np.float64)
    inside = np.eye(len(occurrences)) if contents is None else contents
    value = float(statistic((occurrences @ inside)[None, :])[0])
    if not np.isfinite(value):
        return None
    generator, total = np.random.default_rng(seed), int(occurrences.sum())
    at_once = max(1, _DRAWS_AT_ONCE // len(occurrences))
    parts = []
    for start in range(0, RESAMPLES, at_once):
        size = min(at_once, RESAMPLES - start)
        drawn = generator.multinomial(total, occurrences / total, size=size)
        parts.append(statistic(drawn.astype(np.float64) @ inside))
    resampled = np.concatenate(parts)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled[np.isfinite(resampled)], (tail, 1 - tail))
    return Interval(value, float(low), float(high))


def wilson(share: float, trials: float) -> Interval:
    """Return a share with its 95 % Wilson score interval (E. B. Wilson, JASA 1927).

    Args:
        share: share of successes, in [0, 1].
        trials: number of trials, or the effective number of weighted trials; greater than 0.
    """
    z2 = NormalDist().inv_cdf((1 + LEVEL) / 2) ** 2 / trials
    middle = (share + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * share * (1 - share) + z2**2 / 4) / (1 + z2)
    return Interval(share, max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))


def value_matrix(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return rows as an array, [rows, values].

    Raises:
        DataError: the rows are empty, have different lengths, or contain a value that is not finite.
    """
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or 0 in lengths:
        found = f"{len(rows)} rows of {', '.join(map(str, sorted(lengths))) or 'no'} values"
        raise DataError(f"found {found}", accepted="rows of equal length, with one value per prompt")
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
