"""Rates corrected by sensitivity and specificity."""

from __future__ import annotations

import numpy as np
import pytest

from core.statistics.judges.errors import adjusted_for_errors


def test_rogan_gladen_by_hand():
    found = adjusted_for_errors(0.45, 100, (0.8, 50), (0.9, 50))
    assert found is not None
    assert found.value == pytest.approx(0.5)
    assert found.low < 0.5 < found.high


def test_a_perfect_judge_with_many_labels_changes_little():
    found = adjusted_for_errors(0.3, 100, (1.0, 100_000), (1.0, 100_000))
    assert found is not None
    assert found.value == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((0.219, 0.396), abs=0.005)  # Wilson's interval


def test_a_judge_without_information_corrects_nothing():
    assert adjusted_for_errors(0.5, 100, (0.5, 50), (0.5, 50)) is None
    assert adjusted_for_errors(0.5, 100, (0.2, 50), (0.3, 50)) is None


def test_the_rate_stays_within_bounds():
    found = adjusted_for_errors(0.0, 20, (0.8, 20), (0.9, 20))
    assert found is not None
    assert (found.value, found.low) == (0.0, 0.0)
    assert 0 < found.high < 1


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_coverage_with_few_labels(rate: float):
    rng = np.random.default_rng(1)
    hits = []
    for _ in range(400):
        positives = int(rng.binomial(48, rate))
        counted = rng.binomial(positives, 0.9) + rng.binomial(48 - positives, 0.1)
        gold = max(1, min(39, int(rng.binomial(40, rate))))
        sensitivity, specificity = rng.binomial(gold, 0.9) / gold, rng.binomial(40 - gold, 0.9) / (40 - gold)
        found = adjusted_for_errors(counted / 48, 48, (sensitivity, gold), (specificity, 40 - gold))
        hits += [] if found is None else [found.low <= rate <= found.high]
    assert np.mean(hits) > 0.91
