"""Paired t test: whether one of two series of measurements of the same items has the higher mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

_NORMAL = 1e6
"""Degrees of freedom of an error whose number of items is unknown: the t test is then a normal one."""


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """The mean difference between two series, with its error."""

    mean: float
    error: float
    """Standard error of the mean; infinite if there are too few items to estimate it."""
    degrees: float = _NORMAL
    """Degrees of freedom of the error."""

    def is_positive(self, level: float) -> bool:
        """Return whether a one-sided t test at `level` rejects that the true mean is at most 0."""
        from scipy.special import stdtrit

        return self.mean > 0 and self.mean > float(stdtrit(self.degrees, 1 - level)) * self.error


def paired_difference(first: Sequence[float | None], second: Sequence[float | None]) -> MeanDifference:
    """Return the mean of `first - second`; items that are None in either series are skipped."""
    differences = [a - b for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if len(differences) < 2:
        return MeanDifference(0.0, math.inf, 1)
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(differences))
    return MeanDifference(fmean(differences), error, len(differences) - 1)
