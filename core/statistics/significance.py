"""Significance of paired differences: a sign-flip test, Student's t test, and Holm's correction.

If two variants do equally well, the difference on each prompt is as likely to have one sign as the other. The
sign-flip test (Fisher 1935, "The Design of Experiments", section 21) compares the sum of the differences with
its distribution over all choices of signs. Unlike a t test it needs no normal distribution, so it is exact
for a handful of prompts and for differences of passed checks, which are -1, 0 or 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from core.lazy import require
from core.statistics.bootstrap import Floats, value_matrix

FEW = 30
"""Number of values below which only large differences can be told from chance."""
LEVEL_OF_TESTS = 0.05
_EXACT = 14
"""Largest number of values whose 2^n choices of signs are all counted; more are drawn at random."""
_MOST = 200
"""Largest number of values for sign flips. With 30 values of -1, 0 and 1 a t test at the small levels of many
tests together still rejects too often; with some hundred values both agree."""
_FLIPS = 20_000
"""Number of random choices of signs. The smallest p-value is then 1 / 20,001."""


def difference_p_values(rows: Sequence[Sequence[float]], seed: int) -> tuple[float, ...]:
    """Return the two-sided p-value of each row of differences, under the hypothesis of no difference.

    It is that of the sign-flip test for up to 200 values, else that of Student's t test.

    Args:
        rows: one sequence per comparison, with one difference per prompt; all of the same length.
        seed: seed of the random choices of signs.

    Raises:
        DataError: the rows are empty, have different lengths, or contain a value that is not finite.
    """
    values = value_matrix(rows)
    p_values = _sign_flips(values, seed) if values.shape[1] <= _MOST else _student(values)
    return tuple(p_values.tolist())


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number (Holm 1979, Scandinavian Journal of Statistics 6).

    If all hypotheses whose adjusted p-value is at most 5 % are rejected, the probability that any true one is
    among them is at most 5 %, however the tests depend on each other.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    stepped = np.maximum.accumulate(factors * np.asarray(p_values, dtype=np.float64)[order])
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(p) for p in adjusted]


def _sign_flips(values: Floats, seed: int) -> Floats:
    count = values.shape[1]
    signs = _signs(count, seed)
    sums = np.abs(signs @ values.T)
    # Sums that are equal in exact arithmetic differ in their last digits.
    reached = np.abs(values.sum(axis=1)) - 1e-9 * np.abs(values).sum(axis=1)
    as_large = (sums >= reached).sum(axis=0)
    # The observed signs are one of all choices: counted already if all are, else added.
    if count <= _EXACT:
        return np.asarray(as_large / len(signs))
    return np.asarray((as_large + 1) / (len(signs) + 1))


@lru_cache(maxsize=1)  # all measures of a report have the same prompts
def _signs(count: int, seed: int) -> Floats:
    """Return choices of signs, [choices, count]: all of them, or random ones if there are too many."""
    if count <= _EXACT:
        signs = 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1) - 1
    else:
        signs = 2 * np.random.default_rng(seed).integers(2, size=(_FLIPS, count), dtype=np.int8) - 1
    return signs.astype(np.float64)


def _student(values: Floats) -> Floats:
    stdtr = require("scipy.special", "train").stdtr
    means, errors = _means_and_errors(values)
    with np.errstate(divide="ignore"):
        t = np.divide(np.abs(means), errors, out=np.where(means == 0, 0.0, np.inf), where=errors > 0)
    return np.asarray(2 * stdtr(values.shape[1] - 1, -t))


def _means_and_errors(values: Floats) -> tuple[Floats, Floats]:
    # Subtract the first value: a row of equal values is then exactly zero, without rounding in the means.
    shift = values[:, :1]
    centred = values - shift
    errors = centred.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    return (centred.mean(axis=1, keepdims=True) + shift)[:, 0], errors
