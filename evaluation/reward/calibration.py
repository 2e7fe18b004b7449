"""Whether a reward model's probabilities mean what they say, and the temperature that makes them so.

Each pair is turned so that the answer which the model prefers stands first: its confidence is sigmoid(|m|),
in [0.5, 1], and its label the probability that the preferred answer is the better one (one half where both
score the same). So it has no say which answer is called `chosen`. The pairs the other way round would be the
mirror image, below 0.5, and tell nothing more. The expected calibration error is that of Guo et al. (2017,
arXiv 1706.04599, equation 3), with bins of equal mass and the mean label in place of the accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.digests import derive_uniform
from core.statistics.bootstrap import Floats
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
"""With fewer pairs than 15 times this, there are fewer bins: the means of small bins are mostly noise."""
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 100.0
"""The range in which a temperature is looked for."""


@dataclass(frozen=True)
class Bin:
    """Pairs of similar confidence."""

    predicted: float
    """Mean confidence in the preferred answer."""
    label: float
    """Mean label: the probability that the preferred answer is the better one."""
    n: int
    share: float
    """Of all weight."""
    noise: float
    """Standard error of `label - predicted`."""


@dataclass(frozen=True)
class CalibrationMetrics:
    """How far predicted probabilities are from the labels, at one temperature."""

    nll: float
    """Mean cross-entropy, in nats."""
    excess_nll: float
    """The same less the labels' entropy, in nats."""
    brier: float
    ece: float
    """Expected calibration error: mean distance of predicted probability and label over the bins."""
    ece_by_chance: float
    """The expected calibration error that so few pairs would show of a model that is calibrated perfectly."""
    bins: tuple[Bin, ...]
    """By rising confidence."""


@dataclass(frozen=True)
class Calibration:
    """The temperature, fitted on all pairs, and figures without it and with it."""

    temperature: float
    before: CalibrationMetrics
    after: CalibrationMetrics
    """Cross-fitted: no pair is measured with a temperature that it was fitted on."""


def calibrate(pairs: Sequence[ScoredPair]) -> Calibration:
    """Return the temperature of the pairs, and figures before and after.

    For the figures after, the pairs are split in two by hash of their ids. The temperature of each half is
    fitted on the other one; if that is empty, it is 1.

    Args:
        pairs: one at least, of positive weight.
    """
    margins, labels, weights = pair_columns(pairs)
    halves = np.asarray([derive_uniform("calibration half", pair.id) < EVEN for pair in pairs])
    scaled = margins.copy()
    for half in (halves, ~halves):
        scaled[half] /= fit_temperature(margins[~half], labels[~half], weights[~half])
    return Calibration(
        temperature=fit_temperature(margins, labels, weights),
        before=calibration_metrics(margins, labels, weights),
        after=calibration_metrics(scaled, labels, weights),
    )


def fit_temperature(margins: Floats, p: Floats, weights: Floats | None = None) -> float:
    """Return the T in [0.01, 100] with the least mean cross-entropy of sigmoid(m / T) to p.

    Guo et al. 2017 (arXiv 1706.04599, section 4.2). The cross-entropy is convex in 1 / T, so there is one
    minimum. It is at an end of the range, and exactly that is returned, where the scores say nothing about
    the labels or the contrary (100; so if all labels are ties), or where no pair is wrong and no label in
    doubt (0.01). Without any pair, or with all margins zero, every T is as good as any other: 1.

    Args:
        margins: (N,), in nats.
        p: labels, (N,).
        weights: (N,); all the same if not given.
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

    ends = (math.log(LOWEST_TEMPERATURE), math.log(HIGHEST_TEMPERATURE))
    return math.exp(float(minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-7}).x))


def calibration_metrics(margins: Floats, labels: Floats, weights: Floats) -> CalibrationMetrics:
    """Return how well sigmoid(m) predicts the labels, all arrays (N,)."""
    bins = reliability(margins, labels, weights)
    nll, excess, score = (
        float(np.average(measure(margins, labels), weights=weights))
        for measure in (cross_entropy, excess_entropy, brier)
    )
    return CalibrationMetrics(
        nll=nll,
        excess_nll=excess,
        brier=score,
        ece=math.fsum(one.share * abs(one.label - one.predicted) for one in bins),
        # The mean of the absolute value of a normal variable is sqrt(2 / pi) standard deviations.
        ece_by_chance=math.sqrt(2 / math.pi) * math.fsum(one.share * one.noise for one in bins),
        bins=bins,
    )


def reliability(margins: Floats, labels: Floats, weights: Floats) -> tuple[Bin, ...]:
    """Return at most 15 bins with about as many pairs in each, by rising confidence.

    Pairs of the same confidence are in the same bin, so that the order of the pairs has no say. All arrays
    are (N,).
    """
    confidences = sigmoid(np.abs(margins))
    # Turned to the preferred answer; the sign is 0 where both score the same.
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
        noise = float((turned - confidences)[inside].std()) / math.sqrt(n)
        bins.append(Bin(predicted, label, n, weight / total, noise))
    return tuple(bins)


def _slope(temperature: float, margins: Floats, p: Floats, weights: Floats) -> float:
    """Return the derivative of the summed cross-entropy by 1 / T."""
    return float(np.sum(weights * margins * (sigmoid(margins / temperature) - p)))
