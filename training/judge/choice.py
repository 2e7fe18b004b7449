"""Choice of a probe's layer, reading, loss and regularisation by cross-validation, and its calibration.

Folds are made of whole prompts. The settings with the lowest mean negative log-likelihood of labels that were
held out win; their scores also give the calibration temperature, those of pairs if there are any: a judge
of replies alone is surer than one of close pairs, and labels are of pairs. Pairs together weigh as much as
replies alone, in training and in the choice: there are usually many more of one than of the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import get_args

import numpy as np

from core.digests import derive_uniform
from core.statistics.bootstrap import Floats
from engines.judge.settings import Loss, StatesRead
from training.judge.features import FeatureView, view_of
from training.judge.probe import GoldLabel, Probe, fit_probe, fit_probes

FOLDS = 5
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Weights of the squared norm that are tried."""
_TEMPERATURES = np.exp(np.linspace(np.log(0.2), np.log(20), 200))


@dataclass(frozen=True)
class Setting:
    """Settings of a probe, and how well it does with them."""

    layer: int
    reading: StatesRead
    loss: Loss
    l2: float
    nll: float
    """Mean negative log-likelihood in nats of labels that were held out, at the best temperature."""


@dataclass(frozen=True)
class ProbeChoice:
    """The chosen settings, with the scores of cross-validation."""

    setting: Setting
    temperature: float
    scores: Floats
    """Calibrated log-odds (N,) of each label, by a probe that was not trained on its prompt."""
    tried: tuple[Setting, ...]


def choose_probe(
    features: Mapping[int, Floats], labels: Sequence[GoldLabel], seed: int, *, blind: bool = False
) -> tuple[Probe, ProbeChoice]:
    """Return the probe with the best settings, trained on all labels, and how it was chosen.

    Layer, reading and regularisation are chosen under the cross-entropy, then the loss for that layer and
    reading.

    Args:
        features: features (R, F) by layer.
        labels: gold labels of at least two prompts.
        seed: seed of the division into folds.
        blind: True for a probe whose preferences do not depend on the replies' lengths.
    """
    search = _Search(features, balanced(labels), folds(labels, seed), blind)
    for layer, reading in product(features, get_args(StatesRead)):
        search.try_all(layer, reading, "cross_entropy")
    search.try_all(search.best.layer, search.best.reading, "brier")
    best = search.best
    view = search.view(best.layer, best.reading)
    probe = fit_probe(view.of(features[best.layer]), search.labels, best.loss, best.l2)
    whole = view.whole(probe, features[best.layer].shape[1]).at_temperature(search.temperature)
    return whole, ProbeChoice(best, search.temperature, search.scores, tuple(search.tried))


class _Search:
    """Settings that were tried, and the best of them."""

    def __init__(
        self, features: Mapping[int, Floats], labels: list[GoldLabel], fold_of: list[int], blind: bool
    ) -> None:
        self.labels = labels
        self.tried: list[Setting] = []
        self.scores: Floats = np.zeros(0)
        self.temperature = 1.0
        self._features, self._fold_of, self._blind = features, fold_of, blind

    @property
    def best(self) -> Setting:
        """The setting with the lowest negative log-likelihood, the first of equal ones."""
        return min(self.tried, key=lambda setting: setting.nll)

    def view(self, layer: int, reading: StatesRead) -> FeatureView:
        """Return what is read of a layer."""
        return view_of(self._features[layer], self.labels, reading, blind=self._blind)

    def try_all(self, layer: int, reading: StatesRead, loss: Loss) -> None:
        """Try all weights of the squared norm."""
        seen = self.view(layer, reading).of(self._features[layer])
        found = held_out_scores(seen, self.labels, self._fold_of, loss, PENALTIES)
        for l2, scores in zip(PENALTIES, found, strict=True):
            temperature, nll = _calibrated(scores, self.labels)
            self.tried.append(Setting(layer, reading, loss, l2, nll))
            if self.best is self.tried[-1]:
                pairs = [number for number, label in enumerate(self.labels) if label.second is not None]
                if pairs:
                    temperature, _ = _calibrated(scores[pairs], [self.labels[number] for number in pairs])
                self.scores, self.temperature = scores / temperature, temperature


def folds(labels: Sequence[GoldLabel], seed: int) -> list[int]:
    """Return the fold of each label, the same for all labels of a group; groups are dealt out in turn."""
    groups = sorted({label.group for label in labels}, key=lambda group: derive_uniform(seed, "fold", group))
    place = {group: number % FOLDS for number, group in enumerate(groups)}
    return [place[label.group] for label in labels]


def held_out_scores(
    states: Floats,
    labels: Sequence[GoldLabel],
    fold_of: Sequence[int],
    loss: Loss,
    penalties: Sequence[float],
) -> list[Floats]:
    """Return the log-odds (N,) of each label by probes that were trained on the other folds.

    Returns:
        The log-odds for each weight of the squared norm.
    """
    scores = [np.zeros(len(labels)) for _ in penalties]
    for train, test in _splits(fold_of):
        probes = fit_probes(states, [labels[n] for n in train], loss, penalties)
        for own, probe in zip(scores, probes, strict=True):
            own[test] = probe.log_odds(states, [labels[n] for n in test])
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
