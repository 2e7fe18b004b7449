"""Abstention: the limit holds, half of the error goes, and judges that cannot be thresholded are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.errors import DataError
from core.statistics.judges.abstention import kept_error, risk_controlled
from tests.core.statistics.judges.simulated import abstention_outcome, flipped_labels


def test_simulated_labels_are_wrong_in_a_quarter_with_a_calibration_error_of_a_tenth():
    found = abstention_outcome(0, most=0.95)
    assert found["error"] == pytest.approx(0.25, abs=0.03)
    assert found["ece"] == pytest.approx(0.1, abs=0.02)


def test_error_is_halved_at_a_fifth_abstained():
    found = [abstention_outcome(seed, most=0.95, gold=1000) for seed in range(20)]
    assert np.mean([one["error of kept"] for one in found]) <= 0.125
    assert np.median([one["abstained"] for one in found]) <= 0.2


@pytest.mark.long
@pytest.mark.parametrize("most", [0.95, 0.85, 0.5])
def test_limit_is_exceeded_in_at_most_a_twentieth_of_cases(most: float):
    exceeded = []
    for seed in range(400):
        logits, gold = flipped_labels(20_000, np.random.default_rng(seed), most)
        found = risk_controlled(logits[:500], gold[:500], 0.15)
        kept = np.abs(logits[500:]) >= found.threshold
        wrong = (logits[500:] > 0) != (gold[500:] > 0)
        exceeded.append(kept.any() and wrong[kept].mean() > 0.15)
    assert np.mean(exceeded) <= 0.05 + 0.025


def test_judge_that_is_right_throughout_abstains_on_nothing():
    logits = np.linspace(-3, 3, 200)
    found = risk_controlled(logits, (logits > 0).astype(float), 0.1)
    assert (found.threshold, found.abstained) == (0, 0)
    assert found.error is not None
    assert found.error.value == 0


def test_judge_that_guesses_abstains_on_everything():
    generator = np.random.default_rng(0)
    logits, gold = generator.normal(0, 1, 300), generator.integers(2, size=300).astype(float)
    found = risk_controlled(logits, gold, 0.2)
    assert (found.threshold, found.abstained, found.error) == (math.inf, 1, None)


def test_few_gold_labels_do_not_certify_a_limit():
    logits = np.linspace(0.1, 3, 12)
    assert risk_controlled(logits, np.ones(12), 0.05).threshold == math.inf


def test_error_of_kept_labels_counts_ties_of_the_judge_as_half():
    logits, gold = np.array([0.0, 2.0, -3.0, 1.0]), np.array([1.0, 1.0, 1.0, 0.5])
    everything, sure = kept_error(logits, gold, 0), kept_error(logits, gold, 1.5)
    assert everything is not None
    assert sure is not None
    assert everything.value == pytest.approx(0.5)
    assert sure.value == pytest.approx(0.5)
    assert kept_error(logits, gold, 9) is None


@pytest.mark.parametrize(("limit", "confidence"), [(0.0, 0.9), (1.0, 0.9), (0.1, 1.0)])
def test_limits_that_are_no_shares_are_refused(limit: float, confidence: float):
    with pytest.raises(DataError, match="accepted: a number between 0 and 1"):
        risk_controlled(np.ones(3), np.ones(3), limit, confidence)


def test_gold_of_ties_only_is_refused():
    with pytest.raises(DataError, match="0 decided gold labels"):
        risk_controlled(np.ones(3), np.full(3, 0.5), 0.1)
