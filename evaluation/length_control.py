"""Length-controlled win rate: the win rate if both answers were equally long.

Judges prefer longer answers (Dubois et al. 2024, arXiv 2404.04475). The probability that a variant's answer i
beats base's is modelled as

    p_i = sigmoid(theta + phi tanh(d_i / sd(d)) + psi gamma_i)

with d_i the characters of base's answer minus those of ours, and gamma_i the difficulty of the prompt, if
known. The length-controlled win rate is the mean of p_i with d_i = 0. As in alpaca_eval 0.6.6, theta, phi and
psi are fitted to the judge's probabilities with an L1 penalty whose strength is chosen by five-fold
cross-validation of the log loss, and answers of other models may be added with a small weight to stabilise
phi (`Anchors`). Without difficulties and anchors it is alpaca_eval's `length_controlled_minimal`, with
difficulties `length_controlled_noreg`, with both `length_controlled_v1`. With few comparisons the penalty
decides, and the rate is 50 % whatever the judge says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from core.records import Metric
from core.statistics.bootstrap import LEVEL, Floats
from evaluation.config import BASE
from evaluation.metrics import FEW_PROMPTS
from evaluation.win_rate import LENGTH_CONTROLLED, Win

_FOLDS = 5
MIN_COMPARISONS = 2 * _FOLDS
"""Minimum number of comparisons: every fold has at least two."""
_STRENGTHS = np.logspace(-4, 4, 10)
"""Inverse strengths C of the penalty: the objective is |w|_1 + C sum_i s_i loss_i."""
_MOST_STEPS, _TOLERANCE = 100, 1e-8


@dataclass(frozen=True)
class Anchors:
    """Comparisons of other models on the same prompts, which have a part in phi and psi and none in theta."""

    p: Sequence[float]
    """Probability that the other model's answer beats base's."""
    standardised: Sequence[float]
    """Difference of lengths over its standard deviation."""
    difficulty: Sequence[float]
    weight: float = 0.1
    """Weight of each comparison; one of ours has 1. alpaca_eval: 0.2, over two models."""


@dataclass(frozen=True)
class LengthControlled:
    """A length-controlled win rate with its 95 % interval."""

    rate: float
    low: float
    high: float
    comparisons: int
    length_effect: float
    """phi, in nats: below 0 if the judge prefers longer answers."""
    strength: float
    """The chosen C; small where the comparisons say little."""

    def as_json(self) -> dict[str, float | int]:
        """Return the entry of `metrics.json`."""
        return {
            "rate": self.rate,
            "low": self.low,
            "high": self.high,
            "comparisons": self.comparisons,
            "length_effect_nats": self.length_effect,
        }

    def metric(self, variant: str) -> Metric:
        """Return the metric of a variant."""
        name = f"{variant}.{LENGTH_CONTROLLED}"
        return Metric(
            name=name, value=self.rate, low=self.low, high=self.high, n=self.comparisons, unit="share"
        )


def length_controlled(
    p: Sequence[float],
    lengths: Sequence[int],
    base_lengths: Sequence[int],
    difficulty: Sequence[float] | None = None,
    anchors: Anchors | None = None,
) -> LengthControlled:
    """Return the win rate at equal length.

    The interval is that of the sandwich estimate of the error of theta and psi at the chosen strength (White
    1982, Econometrica 50), on the scale of log-odds; comparisons are independent, one for each prompt.

    Args:
        p: probability that our answer is better, N values.
        lengths: characters of our answers, N.
        base_lengths: characters of base's answers, N.
        difficulty: difficulty of each prompt, N; None if unknown.
        anchors: comparisons of other models.

    Raises:
        ValueError: fewer comparisons than `MIN_COMPARISONS`.
    """
    count = len(p)
    if count < MIN_COMPARISONS:
        raise ValueError(f"{count} comparisons; at least {MIN_COMPARISONS} are needed")
    wins, weights = np.asarray(p, dtype=np.float64), np.ones(count)
    delta = np.asarray(base_lengths, dtype=np.float64) - np.asarray(lengths, dtype=np.float64)
    deviation = float(delta.std(ddof=1))
    term = np.tanh(delta / deviation) if deviation else np.zeros(count)
    hard = np.zeros(count) if difficulty is None else np.asarray(difficulty, dtype=np.float64)
    columns = np.stack([np.ones(count), term, hard], axis=1)
    at_equal_length = np.stack([np.ones(count), np.zeros(count), hard], axis=1)
    if anchors is not None:
        others = np.stack(
            [np.zeros(len(anchors.p)), np.tanh(anchors.standardised), anchors.difficulty], axis=1
        )
        columns = np.concatenate([others, columns])
        wins = np.concatenate([np.asarray(anchors.p, dtype=np.float64), wins])
        weights = np.concatenate([np.full(len(anchors.p), anchors.weight), weights])
    strength = _chosen_strength(columns, wins, weights)
    fitted = _fit(columns, wins, weights, strength)
    rate, low, high = _predicted(at_equal_length, fitted, _sandwich(columns, wins, weights, fitted))
    return LengthControlled(rate, low, high, count, float(fitted[1]), strength)


def length_controlled_rates(wins: Sequence[Win]) -> dict[str, LengthControlled]:
    """Return the length-controlled win rates, of variants with at least `FEW_PROMPTS` judged comparisons."""
    judged: dict[str, list[Win]] = {}
    for win in wins:
        if win.p is not None and win.other == BASE:
            judged.setdefault(win.variant, []).append(win)
    found = {}
    for variant, mine in judged.items():
        if len(mine) >= FEW_PROMPTS:
            lengths = [_length(win, variant) for win in mine]
            base = [_length(win, BASE) for win in mine]
            found[variant] = length_controlled([win.p for win in mine if win.p is not None], lengths, base)
    return found


def _length(win: Win, variant: str) -> int:
    comparison = win.comparison
    return len(comparison.response_a if comparison.origin_a == variant else comparison.response_b)


def _chosen_strength(columns: Floats, wins: Floats, weights: Floats) -> float:
    """Return the C with the lowest log loss over held-out fifths; the smallest one of equals."""
    folds = (len(wins) - 1 - np.arange(len(wins))) % _FOLDS  # as GroupKFold with groups of equal size
    losses = np.zeros(len(_STRENGTHS))
    for fold in range(_FOLDS):
        train, test = folds != fold, folds == fold
        for place, strength in enumerate(_STRENGTHS):
            fitted = _fit(columns[train], wins[train], weights[train], float(strength))
            losses[place] += float(np.mean(weights[test] * _loss(columns[test] @ fitted, wins[test])))
    return float(_STRENGTHS[int(np.argmin(losses))])


def _fit(columns: Floats, wins: Floats, weights: Floats, strength: float) -> Floats:
    """Return the coefficients that minimise |w|_1 + C sum_i s_i loss_i.

    Newton steps with the penalty kept in each quadratic problem (Yuan, Ho and Lin 2012, JMLR 13, newGLMNET).
    """
    coefficients = np.zeros(columns.shape[1])
    for _ in range(_MOST_STEPS):
        p = _sigmoid(columns @ coefficients)
        slope = strength * (columns.T @ (weights * (p - wins)))
        curvature = strength * ((columns * (weights * p * (1 - p))[:, None]).T @ columns)
        step = _penalised_step(coefficients, slope, curvature)
        size, before = 1.0, _objective(columns, wins, weights, strength, coefficients)
        while (
            _objective(columns, wins, weights, strength, coefficients + size * step) > before and size > 1e-6
        ):
            size /= 2
        coefficients = coefficients + size * step
        if float(np.abs(step).max()) < _TOLERANCE:
            break
    return coefficients


def _objective(
    columns: Floats, wins: Floats, weights: Floats, strength: float, coefficients: Floats
) -> float:
    return float(np.abs(coefficients).sum() + strength * (weights @ _loss(columns @ coefficients, wins)))


def _penalised_step(coefficients: Floats, slope: Floats, curvature: Floats) -> Floats:
    """Return the step d that minimises slope . d + d . curvature . d / 2 + |w + d|_1, by coordinates."""
    step = np.zeros_like(coefficients)
    for _ in range(_MOST_STEPS):
        largest = 0.0
        for place in range(len(step)):
            own = float(curvature[place, place])
            if own <= 0:  # the column is zero
                continue
            at = float(coefficients[place] + step[place])
            target = at - float(slope[place] + curvature[place] @ step) / own
            moved = np.sign(target) * max(abs(target) - 1 / own, 0.0) - at
            step[place] += moved
            largest = max(largest, abs(moved))
        if largest < _TOLERANCE:
            break
    return step


def _sandwich(columns: Floats, wins: Floats, weights: Floats, fitted: Floats) -> Floats:
    """Return the covariance of the coefficients, [3, 3]."""
    p = _sigmoid(columns @ fitted)
    information = (columns * (weights * p * (1 - p))[:, None]).T @ columns
    scores = columns * (weights * (wins - p))[:, None]
    inverse = np.linalg.pinv(information)
    return np.asarray(inverse @ (scores.T @ scores) @ inverse)


def _predicted(columns: Floats, fitted: Floats, covariance: Floats) -> tuple[float, float, float]:
    """Return the mean probability over rows and its interval, by the delta method on log-odds."""
    p = _sigmoid(columns @ fitted)
    rate = float(p.mean())
    spread = rate * (1 - rate)
    if spread == 0:
        return rate, rate, rate
    gradient = (columns * (p * (1 - p))[:, None]).mean(axis=0) / spread
    error = float(np.sqrt(gradient @ covariance @ gradient))
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    odds = float(np.log(rate) - np.log1p(-rate))
    low, high = _sigmoid(np.array([odds - half, odds + half]))
    return rate, float(low), float(high)


def _loss(scores: Floats, wins: Floats) -> Floats:
    """Return the log loss of each row, in nats."""
    return np.asarray(np.logaddexp(0, scores) - wins * scores)


def _sigmoid(scores: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0, -scores)))
