"""Metrics of log-odds on gold labels: worked numbers, the noise band, matched lengths."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.statistics.bootstrap import wilson
from core.statistics.judges.gold import GoldLogits, chance_of
from core.statistics.judges.quality import accuracy_of, calibration_error, label_quality, matched_accuracy


def test_metrics_of_four_labels():
    z = math.log(3)  # three quarters
    found = label_quality(GoldLogits(np.array([z, z, -z, z]), np.array([1.0, 1.0, 0.0, 0.0])))
    assert found.labels == 4
    assert found.accuracy == wilson(0.75, 4)
    assert found.nll == pytest.approx(-(3 * math.log(0.75) + math.log(0.25)) / 4)
    assert found.brier == pytest.approx((3 * 0.25**2 + 0.75**2) / 4)
    assert found.ece.value == pytest.approx(0)  # three of four, said with three quarters


def test_judge_that_says_one_half_has_ln_2_and_a_quarter():
    found = label_quality(GoldLogits(np.zeros(10), np.tile([0.0, 1.0], 5)))
    assert (found.nll, found.brier) == pytest.approx((math.log(2), 0.25))
    assert found.accuracy is not None
    assert found.accuracy.value == 0.5


def test_metrics_of_comparisons_do_not_depend_on_which_answer_is_first():
    generator = np.random.default_rng(0)
    z, gold = generator.normal(0, 2, 300), generator.integers(2, size=300).astype(float)
    turn = generator.choice([-1.0, 1.0], 300)
    one = label_quality(GoldLogits(z, gold))
    two = label_quality(GoldLogits(z * turn, 0.5 + turn * (gold - 0.5)))
    assert (two.nll, two.brier, two.ece.value) == pytest.approx((one.nll, one.brier, one.ece.value))


def test_noise_band_holds_a_calibrated_judge_in_19_of_20_cases():
    generator = np.random.default_rng(1)
    inside = []
    for seed in range(100):
        p = chance_of(generator.normal(0, 1.5, 150))
        inside.append(calibration_error(p, (generator.random(150) < p).astype(float), seed).within_noise)
    assert 0.87 <= np.mean(inside) <= 1


def test_overconfident_judge_is_outside_the_noise_band():
    generator = np.random.default_rng(2)
    z = generator.normal(0, 1, 400)
    gold = (generator.random(400) < chance_of(z)).astype(float)
    assert label_quality(GoldLogits(z, gold)).ece.within_noise
    found = label_quality(GoldLogits(4 * z, gold)).ece
    assert found.value > found.high > found.expected


def test_expected_error_by_chance_is_that_of_the_binomial():
    # One bin, 20 labels of one half: the mean of |k / 20 - 1/2| over Binomial(20, 1/2) is 0.0881.
    found = calibration_error(np.full(20, 0.5), np.tile([0.0, 1.0], 10))
    assert found.value == 0
    assert found.expected == pytest.approx(0.0881, abs=0.006)


def test_accuracy_at_matched_length_counts_lengths_within_a_tenth():
    lengths = np.log([0.9, 1.0, 1.5, 0.5])
    labels = GoldLogits(np.array([1.0, -1.0, 1.0, 1.0]), np.ones(4), lengths=lengths)
    assert matched_accuracy(labels) == (wilson(0.5, 2), 2)


def test_ties_of_gold_are_not_decided():
    assert accuracy_of(GoldLogits(np.ones(2), np.full(2, 0.5))) is None


def test_labels_of_one_prompt_count_for_less():
    z, gold = np.ones(40), np.repeat([1.0, 0.0], [28, 12])
    alone = accuracy_of(GoldLogits(z, gold))
    together = accuracy_of(GoldLogits(z, gold, clusters=[place // 4 for place in range(40)]))
    assert alone is not None
    assert together is not None
    assert together.high - together.low > 1.3 * (alone.high - alone.low)
