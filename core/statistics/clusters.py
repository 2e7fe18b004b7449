"""Errors of means over pairs that share prompts.

Pairs of one prompt are alike: a reward model that is wrong about a prompt is wrong about several of its
pairs. They count for less than as many pairs of different prompts, and intervals that take them as
independent are too narrow (Miller 2024, "Adding Error Bars to Evals", arXiv 2411.00640, section 2.2).

With values x_i of weights w_i in clusters g = 1 ... G, and M the weighted mean, the squared standard error is

    G / (G - 1) * sum_g (sum_{i in g} w_i (x_i - M))^2 / (sum_i w_i)^2

which is Miller's equation 4 with the correction for few clusters. Divided by the same with each pair as a
cluster of its own, it is the design effect (Kish, "Survey Sampling", 1965): the number of pairs that are
worth one independent pair.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from core.statistics.bootstrap import LEVEL, Floats


def clustered_error(values: Floats, weights: Floats, clusters: Sequence[Hashable]) -> float:
    """Return the standard error of the weighted mean; nan if there is one cluster only.

    Args:
        values: (N,).
        weights: (N,), not all 0.
        clusters: the cluster of each value, N.
    """
    places, count = cluster_places(clusters)
    if count < 2:
        return math.nan
    deviations = weights * (values - np.average(values, weights=weights))
    sums = np.bincount(places, deviations, minlength=count)
    return math.sqrt(count / (count - 1) * float(sums @ sums)) / float(weights.sum())


def effective_trials(values: Floats, weights: Floats, clusters: Sequence[Hashable]) -> float:
    """Return the number of independent trials that clustered, weighted values are worth.

    Without clusters it is Kish's effective sample size, (sum w)^2 / sum w^2. Clusters divide it by their
    design effect, which is at least 1 here, and by the factor by which a t interval of few clusters is wider
    than a normal one, squared (Korn and Graubard 1998, Survey Methodology 24). If the values do not vary, the
    design effect cannot be estimated, and each cluster counts as one trial.

    Args:
        values: (N,).
        weights: (N,), not all 0.
        clusters: the cluster of each value, N.
    """
    from scipy.special import stdtrit

    kish = float(weights.sum() ** 2 / (weights @ weights))
    places, count = cluster_places(clusters)
    if count == len(values):
        return kish
    sums = np.bincount(places, weights, minlength=count)
    fewest = float(sums.sum() ** 2 / (sums @ sums))
    if count < 2 or np.all(values == values[0]):
        return fewest
    tail = (1 + LEVEL) / 2
    widened = float(stdtrit(count - 1, tail)) / NormalDist().inv_cdf(tail)
    return kish / design_effect(values, weights, clusters) / widened**2


def design_effect(values: Floats, weights: Floats, clusters: Sequence[Hashable]) -> float:
    """Return the squared error of the weighted mean over that of independent values; at least 1."""
    alone = clustered_error(values, weights, range(len(values)))
    together = clustered_error(values, weights, clusters)
    if math.isnan(together) or not alone:
        return 1.0
    return max(1.0, (together / alone) ** 2)


def cluster_places(clusters: Sequence[Hashable]) -> tuple[NDArray[np.int64], int]:
    """Return the number of each value's cluster, (N,), and the number of clusters."""
    numbers: dict[Hashable, int] = {}
    places = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
    return np.asarray(places, dtype=np.int64), len(numbers)
