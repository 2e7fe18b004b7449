"""ProbeChoice of a probe's layer, loss and regularisation by cross-validation, and its calibration.

Folds are made of whole prompts. The settings with the lowest mean negative log-likelihood of labels that were
held out win; their scores also give the calibration temperature. Pairs together weigh as much as replies
alone, in training and in the choice: there are usually many more of one than of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import get_args

import numpy as np

from core.digests import derive_uniform
from core.statistics.bootstrap import Floats
from engines.judge.settings import Loss
from training.judge.probe import GoldLabel, Probe, fit_probe

FOLDS = 5
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Weights of the squared norm that are tried."""
_TEMPERATURES = np.exp(np.linspace(np.log(0.2), np.log(20), 200))


@dataclass(frozen=True)
class ProbeChoice:
    """The chosen settings, with the scores of cross-validation."""

    layer: int
    loss: Loss
    l2: float
    temperature: float
    scores: Floats
    """Calibrated log-odds (N,) of each label, by a probe that was not trained on its prompt."""
    tried: tuple[tuple[int, Loss, float, float], ...]
    """Layer, loss, l2 and mean negative log-likelihood in nats of all settings."""


def choose_probe(
    states: Mapping[int, Floats], labels: Sequence[GoldLabel], seed: int
) -> tuple[Probe, ProbeChoice]:
    """Return the probe with the best settings, trained on all labels, and how it was chosen.

    Args:
        states: hidden states (R, D) by layer.
        labels: gold labels of at least two prompts.
        seed: seed of the division into folds.
    """
    labels = balanced(labels)
    fold_of = folds(labels, seed)
    best: tuple[float, int, Loss, float, Floats] | None = None
    tried = []
    for layer, loss, l2 in product(states, get_args(Loss), PENALTIES):
        scores = held_out_scores(states[layer], labels, fold_of, loss, l2)
        temperature, value = _calibrated(scores, labels)
        tried.append((layer, loss, l2, value))
        if best is None or value < best[0]:
            best = (value, layer, loss, l2, scores / temperature)
            chosen_temperature = temperature
    assert best is not None
    _, layer, loss, l2, scores = best
    probe = fit_probe(states[layer], labels, loss, l2).at_temperature(chosen_temperature)
    return probe, ProbeChoice(layer, loss, l2, chosen_temperature, scores, tuple(tried))


def folds(labels: Sequence[GoldLabel], seed: int) -> list[int]:
    """Return the fold of each label, the same for all labels of a group; groups are dealt out in turn."""
    groups = sorted({label.group for label in labels}, key=lambda group: derive_uniform(seed, "fold", group))
    place = {group: number % FOLDS for number, group in enumerate(groups)}
    return [place[label.group] for label in labels]


def held_out_scores(
    states: Floats, labels: Sequence[GoldLabel], fold_of: Sequence[int], loss: Loss, l2: float
) -> Floats:
    """Return the log-odds (N,) of each label by a probe that was trained on the other folds."""
    scores = np.zeros(len(labels))
    for train, test in _splits(fold_of):
        probe = fit_probe(states, [labels[n] for n in train], loss, l2)
        scores[test] = probe.log_odds(states, [labels[n] for n in test])
    return scores


def _splits(fold_of: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    for fold in sorted(set(fold_of)):
        train = [number for number, own in enumerate(fold_of) if own != fold]
        test = [number for number, own in enumerate(fold_of) if own == fold]
        if train:
            yield train, test


def balanced(labels: Sequence[GoldLabel]) -> list[GoldLabel]:
    """Return the labels with weights such that pairs and replies alone have the same total, 1 on average."""
    totals = {
        alone: sum(label.weight for label in labels if (label.second is None) == alone)
        for alone in (True, False)
    }
    forms = sum(total > 0 for total in totals.values())
    return [
        replace(label, weight=label.weight * len(labels) / totals[label.second is None] / forms)
        for label in labels
    ]


def _calibrated(scores: Floats, labels: Sequence[GoldLabel]) -> tuple[float, float]:
    """Return the temperature with the lowest mean negative log-likelihood, and that likelihood in nats."""
    target = np.array([label.target for label in labels])
    weight = np.array([label.weight for label in labels]) / sum(label.weight for label in labels)
    scaled = scores[None, :] / _TEMPERATURES[:, None]
    values = (np.logaddexp(0, scaled) - target * scaled) @ weight
    best = int(values.argmin())
    return float(_TEMPERATURES[best]), float(values[best])
