"""Calibration of a reward model: expected calibration error, and temperature scaling.

Each pair is oriented to put the answer that the model prefers first. Its confidence is sigmoid(|m|), in
[0.5, 1], and its label is the probability that the preferred answer is better (one half if both score the
same). The result therefore does not depend on which answer is called `chosen`. The opposite orientation is
the mirror image below 0.5 and adds no information. The expected calibration error is that of Guo et al.
(2017, arXiv 1706.04599, equation 3), with bins of equal mass and the mean label in place of the accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.digests import derive_uniform
from core.statistics.bootstrap import Floats
from core.statistics.clusters import cluster_places, design_effect
from evaluation.reward.metrics import (
    EVEN,
    ScoredPair,
    brier,
    cross_entropy,
    excess_entropy,
    pair_columns,
    sigmoid,
)

BINS = 15
PAIRS_PER_BIN = 30
"""Minimum number of pairs per bin; with fewer pairs there are fewer bins, as small bins are mostly noise."""
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 100.0
"""Search range of the temperature."""


@dataclass(frozen=True)
class Bin:
    """Pairs of similar confidence."""

    predicted: float
    """Mean confidence in the preferred answer."""
    label: float
    """Mean label: the probability that the preferred answer is the better one."""
    n: int
    share: float
    """Share of the total weight."""
    noise: float
    """Standard error of `label - predicted`."""


@dataclass(frozen=True)
class CalibrationMetrics:
    """Agreement of predicted probabilities with the labels at one temperature."""

    nll: float
    """Mean cross-entropy, in nats."""
    excess_nll: float
    """Mean cross-entropy minus the labels' entropy, in nats."""
    brier: float
    ece: float
    """Expected calibration error: mean absolute difference of prediction and label over the bins."""
    ece_by_chance: float
    """Expected calibration error of a perfectly calibrated model on this number of pairs, due to chance."""
    bins: tuple[Bin, ...]
    """Bins by increasing confidence."""


@dataclass(frozen=True)
class Calibration:
    """The temperature, fitted on all pairs, and the metrics before and after temperature scaling."""

    temperature: float
    before: CalibrationMetrics
    after: CalibrationMetrics
    """Cross-fitted metrics: no pair is measured with a temperature that was fitted on it."""


def calibrate(pairs: Sequence[ScoredPair]) -> Calibration:
    """Fit the temperature of the pairs and return it with the metrics before and after.

    For the metrics after, the prompts are split into two halves by hash, so all pairs of a prompt are in one
    half. The temperature of each half is fitted on the other half. If the other half is empty, it is 1.

    Args:
        pairs: at least one pair, all with positive weight.
    """
    margins, labels, weights = pair_columns(pairs)
    clusters = [pair.cluster for pair in pairs]
    # The smallest pair id stands for its prompt: a prompt with one pair is in the half of that pair.
    firsts: dict[str, str] = {}
    for pair in pairs:
        firsts[pair.cluster] = min(pair.id, firsts.get(pair.cluster, pair.id))
    halves = np.asarray([derive_uniform("calibration half", firsts[c]) < EVEN for c in clusters])
    scaled = margins.copy()
    for half in (halves, ~halves):
        scaled[half] /= fit_temperature(margins[~half], labels[~half], weights[~half])
    return Calibration(
        temperature=fit_temperature(margins, labels, weights),
        before=calibration_metrics(margins, labels, weights, clusters),
        after=calibration_metrics(scaled, labels, weights, clusters),
    )


def fit_temperature(margins: Floats, p: Floats, weights: Floats | None = None) -> float:
    """Return the T in [0.01, 100] that minimises the mean cross-entropy of sigmoid(m / T) to p.

    Guo et al. 2017 (arXiv 1706.04599, section 4.2). The cross-entropy is convex in 1 / T, so it has one
    minimum. The result is exactly 100 if the scores are unrelated or opposed to the labels, for example if
    all labels are ties. It is exactly 0.01 if no pair is wrong and all labels are certain. It is 1 if there
    are no pairs or all margins are zero, because the cross-entropy then does not depend on T.

    Args:
        margins: margins in nats, (N,).
        p: labels, (N,).
        weights: weights, (N,); equal if not given.
    """
    from scipy.optimize import minimize_scalar

    shares = np.ones_like(margins) if weights is None else weights
    if not np.any(margins * shares):
        return 1.0
    if _slope(HIGHEST_TEMPERATURE, margins, p, shares) >= 0:
        return HIGHEST_TEMPERATURE
    if _slope(LOWEST_TEMPERATURE, margins, p, shares) <= 0:
        return LOWEST_TEMPERATURE

    def loss(log_temperature: float) -> float:
        return float(np.average(cross_entropy(margins / math.exp(log_temperature), p), weights=shares))

    # Search in log T, because the range covers four orders of magnitude.
    ends = (math.log(LOWEST_TEMPERATURE), math.log(HIGHEST_TEMPERATURE))
    return math.exp(float(minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-7}).x))


def calibration_metrics(
    margins: Floats, labels: Floats, weights: Floats, clusters: Sequence[str] | None = None
) -> CalibrationMetrics:
    """Return the calibration metrics of sigmoid(m) as a prediction of the labels.

    Args:
        margins: margins in nats, (N,).
        labels: labels, (N,).
        weights: weights, (N,).
        clusters: the prompt of each pair, N; if not given, each pair has its own.
    """
    bins = reliability(margins, labels, weights, clusters)
    nll, excess, score = (
        float(np.average(measure(margins, labels), weights=weights))
        for measure in (cross_entropy, excess_entropy, brier)
    )
    error, by_chance = errors_of(bins)
    return CalibrationMetrics(nll, excess, score, error, by_chance, bins)


def errors_of(bins: Sequence[Bin]) -> tuple[float, float]:
    """Return the expected calibration error over bins, and that of a calibrated model due to chance."""
    error = math.fsum(one.share * abs(one.label - one.predicted) for one in bins)
    # The mean of the absolute value of a normal variable is sqrt(2 / pi) standard deviations.
    return error, math.sqrt(2 / math.pi) * math.fsum(one.share * one.noise for one in bins)


def reliability(
    margins: Floats, labels: Floats, weights: Floats, clusters: Sequence[str] | None = None
) -> tuple[Bin, ...]:
    """Return at most 15 bins with about the same number of pairs in each, by increasing confidence.

    Pairs with the same confidence are in the same bin, so the order of the pairs does not matter. Arguments
    are those of `calibration_metrics`.
    """
    prompts, _ = cluster_places(range(len(margins)) if clusters is None else clusters)
    confidences = sigmoid(np.abs(margins))
    # Oriented to the preferred answer; the sign is 0 if both score the same.
    turned = EVEN + np.sign(margins) * (labels - EVEN)
    count = max(1, min(BINS, len(margins) // PAIRS_PER_BIN))
    edges = np.quantile(confidences, np.arange(1, count) / count)
    places = np.searchsorted(edges, confidences, side="right")
    total = float(weights.sum())
    bins = []
    for place in np.unique(places):
        inside = places == place
        n, weight = int(inside.sum()), float(weights[inside].sum())
        predicted, label = (
            float(np.average(values[inside], weights=weights[inside])) for values in (confidences, turned)
        )
        noise = _error_of_mean((turned - confidences)[inside], weights[inside], prompts[inside])
        bins.append(Bin(predicted, label, n, weight / total, noise))
    return tuple(bins)


def _error_of_mean(values: Floats, weights: Floats, prompts: NDArray[np.int64]) -> float:
    """Return the standard error of the weighted mean of values, (N,) each.

    The number of values is Kish's effective sample size, (sum w)^2 / sum w^2 ("Survey Sampling", 1965), which
    is N if all weights are equal, divided by the design effect of pairs that share prompts.
    """
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    if len(set(prompts.tolist())) == 1:  # how far pairs of one prompt agree is then unknown
        effective = 1.0
    else:
        effective /= design_effect(values, weights, prompts.tolist())
    # Unweighted: a few heavy pairs would otherwise be their own mean, and the deviation far too small.
    return float(values.std()) / math.sqrt(effective)


def _slope(temperature: float, margins: Floats, p: Floats, weights: Floats) -> float:
    """Return the derivative of the summed cross-entropy with respect to 1 / T."""
    return float(np.sum(weights * margins * (sigmoid(margins / temperature) - p)))
