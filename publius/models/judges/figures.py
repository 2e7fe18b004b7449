"""How often a judge is right about gold labels, and how well its probabilities are calibrated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.statistics.bootstrap import Floats, wilson
from core.statistics.clusters import effective_trials
from engines.judge.settings import KindFigures
from evaluation.reward.calibration import calibration_metrics
from training.judge.probe import GoldLabel


def figures_by_kind(labels: Sequence[GoldLabel], scores: Floats) -> dict[str, KindFigures]:
    """Return the figures of each kind of label from its log-odds (N,)."""
    kinds = dict.fromkeys(label.kind for label in labels)
    places = {kind: [n for n, label in enumerate(labels) if label.kind == kind] for kind in kinds}
    return {kind: _figures([labels[n] for n in own], scores[own]) for kind, own in places.items()}


def _figures(labels: Sequence[GoldLabel], scores: Floats) -> KindFigures:
    target = np.array([label.target for label in labels])
    is_pair = labels[0].second is not None
    sides = [np.ones(len(target), dtype=bool)] if is_pair else [target > 0.5, target < 0.5]
    # A score of exactly zero decides nothing, and neither does a tied label: both count as half right.
    right = np.where((scores == 0) | (target == 0.5), 0.5, (scores > 0) == (target > 0.5))
    shares = [float(right[side].mean()) for side in sides if side.any()]
    accuracy = sum(shares) / len(shares)
    interval = wilson(accuracy, _trials(right, labels))
    metrics = calibration_metrics(scores, target, np.ones(len(labels)), [label.group for label in labels])
    return KindFigures(
        labels=len(labels),
        accuracy=accuracy,
        low=interval.low,
        high=interval.high,
        majority=0.5 if is_pair else float(max(np.mean(target > 0.5), np.mean(target <= 0.5))),
        nll=metrics.nll,
        ece=metrics.ece,
        ece_by_chance=metrics.ece_by_chance,
    )


def _trials(right: Floats, labels: Sequence[GoldLabel]) -> float:
    """Return how many independent labels these are worth: labels of one prompt are alike."""
    return min(len(labels), effective_trials(right, np.ones(len(labels)), [label.group for label in labels]))


def principle_figures(labels: Sequence[GoldLabel], scores: Floats) -> KindFigures:
    """Return the figures of one principle's labels from their log-odds (N,).

    A pair counts on both sides. The interval of the balanced accuracy is Wilson's for 4 / (1/n + 1/m) labels,
    with n and m labels of the two sides, and no more than there are, those of a prompt as a cluster: a rare
    side makes it wide.

    Args:
        labels: labels of both sides, with the weights that the probabilities are calibrated for.
        scores: their log-odds.
    """
    target = np.array([label.target for label in labels])
    is_pair = np.array([label.second is not None for label in labels])
    right = np.where((scores == 0) | (target == 0.5), 0.5, (scores > 0) == (target > 0.5))
    sides = [right[is_pair | (target > 0.5)], right[is_pair | (target < 0.5)]]
    accuracy = float(np.mean([side.mean() for side in sides]))
    effective = min(_trials(right, labels), 4 / sum(1 / len(side) for side in sides))
    interval = wilson(accuracy, effective)
    weight = np.array([label.weight for label in labels])
    metrics = calibration_metrics(scores, target, weight, [label.group for label in labels])
    return KindFigures(
        labels=len(labels),
        accuracy=accuracy,
        low=interval.low,
        high=interval.high,
        majority=float(max(len(side) for side in sides) / sum(map(len, sides))),
        nll=metrics.nll,
        ece=metrics.ece,
        ece_by_chance=metrics.ece_by_chance,
    )
