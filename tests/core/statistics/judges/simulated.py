"""Simulated judges with known errors, for the tests and the benchmark of their statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.statistics.bootstrap import Floats
from core.statistics.judges.abstention import risk_controlled
from core.statistics.judges.calibration import cross_validated
from core.statistics.judges.gold import GoldLogits, chance_of
from core.statistics.judges.quality import label_quality
from core.statistics.judges.rates import corrected_rate

Scores = dict[str, float]


@dataclass(frozen=True)
class Judge:
    """A judge of yes-or-no items."""

    sensitivity: float
    specificity: float
    noise: float | None = None
    """If given, the judge answers with probabilities instead: the log-odds are 2 y - 1 plus this noise."""

    def answers(self, gold: Floats, generator: np.random.Generator) -> Floats:
        if self.noise is not None:
            return chance_of(2 * gold - 1 + generator.normal(0, self.noise, len(gold)))
        right = generator.random(len(gold)) < np.where(gold == 1, self.sensitivity, self.specificity)
        return np.where(right, gold, 1 - gold)


def rate_coverage(
    judge: Judge, rate: float, simulations: int, gold: int = 100, items: int = 2000, seed: int = 0
) -> Scores:
    """Return coverage of 95 % intervals, their width as a share of gold's alone, and the refused share."""
    generator = np.random.default_rng(seed)
    covered, covered_alone, narrower, refused, raw = [], [], [], [], []
    for _ in range(simulations):
        truth = (generator.random(items) < rate).astype(np.float64)
        judged = judge.answers(truth, generator)
        found = corrected_rate(truth[:gold], judged[:gold], judged[gold:])
        covered.append(found.rate.low <= rate <= found.rate.high)
        covered_alone.append(found.gold.low <= rate <= found.gold.high)
        narrower.append(found.narrowing)
        refused.append(bool(found.refused))
        raw.append(found.judged)
    return {
        "coverage": float(np.mean(covered)),
        "coverage, gold alone": float(np.mean(covered_alone)),
        "width by gold alone": float(np.mean(narrower)),
        "refused": float(np.mean(refused)),
        "judged, uncorrected": float(np.mean(raw)),
    }


def biased_labels(
    count: int, generator: np.random.Generator, overconfidence: float = 3.0, liking: float = 1.5
) -> GoldLogits:
    """Return labels of a judge that is overconfident and likes long answers, which gold does not."""
    margin = generator.normal(0, 1.5, count)
    gold = (generator.random(count) < chance_of(margin)).astype(np.float64)
    lengths = generator.normal(0, 0.5, count)
    logits = overconfidence * (margin + generator.normal(0, 1.0, count)) + liking * 2 * lengths
    return GoldLogits(logits, gold, lengths=lengths)


def calibration_gain(gold: int, seed: int) -> Scores:
    """Return the metrics of raw and of cross-validated corrected labels."""
    labels = biased_labels(gold, np.random.default_rng(seed))
    raw, corrected = label_quality(labels), label_quality(labels, cross_validated(labels))
    return {
        "nll, raw": raw.nll,
        "nll, corrected": corrected.nll,
        "brier, raw": raw.brier,
        "brier, corrected": corrected.brier,
        "ece, raw": raw.ece.value,
        "ece, corrected": corrected.ece.value,
        "ece, noise band": corrected.ece.high,
        "accuracy, raw": raw.accuracy.value if raw.accuracy else np.nan,
        "accuracy, corrected": corrected.accuracy.value if corrected.accuracy else np.nan,
    }


def flipped_labels(count: int, generator: np.random.Generator, most: float) -> tuple[Floats, Floats]:
    """Return log-odds and gold where 25 % of the labels are wrong, fewer the larger the log-odds.

    The probability of a wrong label falls from `most` to (0.25 - 0.2 most) / 0.8, most steeply at the fifth
    of the labels with the smallest log-odds. The probabilities that the log-odds state are those of a right
    label where these are above one half, and about one half elsewhere. All log-odds are then multiplied by a
    factor that makes the expected calibration error 0.1.
    """
    rank = (np.arange(4000) + 0.5) / 4000
    least = (0.25 - 0.2 * most) / 0.8
    wrong_at = least + (most - least) * chance_of((0.2 - rank) / 0.01)
    stated = np.maximum(1 - wrong_at, 0.5 + 0.01 * rank)
    sizes = np.log(stated / (1 - stated))
    factors = np.linspace(1, 8, 700)
    errors = [np.abs(chance_of(factor * sizes) - (1 - wrong_at)).mean() for factor in factors]
    sizes = factors[np.argmin(np.abs(np.asarray(errors) - 0.1))] * sizes
    places = generator.integers(len(rank), size=count)
    side = generator.choice([-1.0, 1.0], size=count)
    wrong = generator.random(count) < wrong_at[places]
    return side * sizes[places], np.where(wrong, side < 0, side > 0).astype(np.float64)


def abstention_outcome(
    seed: int, most: float, gold: int = 500, labels: int = 2000, confidence: float = 0.95
) -> Scores:
    """Return what a threshold for half of the error, chosen on some gold labels, does to the other labels."""
    logits, truth = flipped_labels(labels, np.random.default_rng(seed), most)
    wrong = (logits > 0) != (truth > 0)
    raw = label_quality(GoldLogits(logits, truth))
    found = risk_controlled(logits[:gold], truth[:gold], 0.125, confidence, all_logits=logits)
    fresh = np.arange(labels) >= gold
    kept = fresh & (np.abs(logits) >= found.threshold)
    fifth = np.abs(logits) >= np.quantile(np.abs(logits), 0.2)
    return {
        "error": float(wrong.mean()),
        "ece": raw.ece.value,
        "abstained": found.abstained,
        "error of kept": float(wrong[kept].mean()) if kept.any() else 0.0,
        "error at 20 % abstained": float(wrong[fresh & fifth].mean()),
    }
