"""Metrics of a judge's log-odds on gold labels: accuracy, log-loss, Brier score, calibration error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.statistics.bootstrap import LEVEL, Floats, Interval, wilson
from core.statistics.clusters import effective_trials
from core.statistics.judges.gold import GOLD_TIE, GoldLogits, chance_of, log_loss

MATCHED_LENGTH = math.log(1 / 0.9)
"""Absolute log length ratio up to which two lengths match: the shorter is at least 90 % of the longer."""
_BINS = 15
_LABELS_PER_BIN = 30
_SIMULATIONS = 1000
_DRAWS_AT_ONCE = 2_000_000
"""Number of gold labels drawn in one step; limits the memory to some tens of megabytes."""


class CalibrationError(NamedTuple):
    """An expected calibration error beside that of a perfectly calibrated judge with the same confidences."""

    value: float
    expected: float
    """Mean over simulations of perfect calibration: what chance alone gives for this number of labels."""
    high: float
    """95 % quantile of these simulations, the upper end of the noise band."""

    @property
    def within_noise(self) -> bool:
        """Return True if perfect calibration is not excluded at 5 %."""
        return self.value <= self.high


@dataclass(frozen=True)
class LabelQuality:
    """Metrics of a judge's log-odds on gold labels."""

    labels: int
    accuracy: Interval | None
    """Share of decided gold labels that the judge agrees with, by clusters; None if all are ties."""
    nll: float
    """Mean cross-entropy to gold, in nats; ln 2 = 0.693 for a judge that always says one half."""
    brier: float
    """Mean squared difference of probability and gold; 0.25 for a judge that always says one half."""
    ece: CalibrationError


def label_quality(labels: GoldLogits, logits: Floats | None = None, *, paired: bool = True) -> LabelQuality:
    """Return the metrics of log-odds on gold labels.

    Args:
        labels: gold labels with the judge's log-odds.
        logits: log-odds to measure in place of the judge's own, (N,), for example corrected ones.
        paired: the labels compare two answers, of which either may be called the first: for the
            calibration error, each comparison is turned to the answer that the judge prefers.
    """
    z = labels.logits if logits is None else logits
    p = chance_of(z)
    return LabelQuality(
        labels=len(labels),
        accuracy=accuracy_of(labels, z),
        nll=float(log_loss(z, labels.gold).mean()),
        brier=float(np.square(p - labels.gold).mean()),
        ece=calibration_error(*_turned(z, labels.gold)) if paired else calibration_error(p, labels.gold),
    )


def accuracy_of(labels: GoldLogits, logits: Floats | None = None) -> Interval | None:
    """Return the share of gold labels that the log-odds agree with, with its 95 % interval over prompts.

    Ties of gold are skipped, and log-odds of 0 are half right. The interval is Wilson's; None without labels.
    """
    z = labels.logits if logits is None else logits
    decided = labels.gold != GOLD_TIE
    if not decided.any():
        return None
    right = GOLD_TIE * (1 + np.sign(z) * np.sign(labels.gold - GOLD_TIE))[decided]
    clusters = labels.subset(decided).clusters or range(len(right))
    return wilson(float(right.mean()), effective_trials(right, np.ones(len(right)), clusters))


def matched_accuracy(labels: GoldLogits, logits: Floats | None = None) -> tuple[Interval | None, int]:
    """Return the accuracy on comparisons of answers with about the same length, and their number.

    The lengths match if the shorter answer has at least 90 % of the longer one's. Ties of gold are skipped.

    Raises:
        DataError: the lengths are unknown.
    """
    if labels.lengths is None:
        raise DataError("the answers' lengths are unknown", accepted="log length ratios")
    matched = (np.abs(labels.lengths) <= MATCHED_LENGTH + 1e-12) & (labels.gold != GOLD_TIE)
    if not matched.any():
        return None, 0
    z = labels.logits if logits is None else logits
    return accuracy_of(labels.subset(matched), z[matched]), int(matched.sum())


def calibration_error(p: Floats, gold: Floats, seed: int = 0) -> CalibrationError:
    """Return the expected calibration error of probabilities, with its noise band.

    It is the mean over bins of equal mass of |mean gold - mean p| (Guo et al. 2017, equation 3), with 30 or
    more labels in each of at most 15 bins. Even a perfect judge does not reach 0: 1,000 simulations draw gold
    labels with exactly the probabilities p and measure the same error in the same bins.

    Args:
        p: probabilities, (N,).
        gold: gold labels in [0, 1], (N,).
        seed: seed of the simulations.
    """
    places = _bins(p)
    order = np.argsort(places, kind="stable")
    starts = np.flatnonzero(np.diff(places[order], prepend=-1))

    def error(labels: Floats) -> Floats:
        gaps = np.add.reduceat((labels - p)[..., order], starts, axis=-1)
        return np.asarray(np.abs(gaps).sum(axis=-1) / len(p))

    generator = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // len(p))
    simulated = np.concatenate(
        [
            error((generator.random((min(at_once, _SIMULATIONS - done), len(p))) < p).astype(np.float64))
            for done in range(0, _SIMULATIONS, at_once)
        ]
    )
    return CalibrationError(float(error(gold)), float(simulated.mean()), float(np.quantile(simulated, LEVEL)))


def _turned(z: Floats, gold: Floats) -> tuple[Floats, Floats]:
    """Return confidence in, and gold label of, the answer that the judge prefers, (N,) each."""
    return chance_of(np.abs(z)), GOLD_TIE + np.sign(z) * (gold - GOLD_TIE)


def _bins(p: Floats) -> NDArray[np.int64]:
    """Return the bin of each probability, (N,); equal probabilities share a bin."""
    count = max(1, min(_BINS, len(p) // _LABELS_PER_BIN))
    edges = np.quantile(p, np.arange(1, count) / count)
    return np.asarray(np.searchsorted(edges, p, side="right"), dtype=np.int64)
