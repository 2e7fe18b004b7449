"""The paired t test is scipy's, skips items without a value, and decides nothing on one item."""

from __future__ import annotations

import math
from random import Random

import pytest

from core.statistics.paired import MeanDifference, paired_difference


@pytest.mark.parametrize("seed", range(4))
def test_the_level_at_which_a_difference_is_positive_is_scipys_p_value(seed: int):
    from scipy.stats import ttest_rel

    chance = Random(seed)
    first = [chance.gauss(0.3, 1) for _ in range(12)]
    second = [value - chance.gauss(0.2, 0.5) for value in first]
    found = paired_difference(first, second)
    p = float(ttest_rel(first, second, alternative="greater").pvalue)
    assert found.degrees == 11
    if found.mean > 0:
        assert found.is_positive(p * 1.001)
    assert not found.is_positive(p * 0.999)


def test_items_that_are_missing_in_either_series_are_skipped():
    found = paired_difference([1.0, None, 3.0, 5.0], [0.0, 2.0, None, 3.0])
    assert (found.mean, found.error, found.degrees) == (1.5, pytest.approx(0.5), 1)


def test_one_item_decides_nothing():
    assert paired_difference([9.0], [0.0]).error == math.inf
    assert not paired_difference([9.0], [0.0]).is_positive(0.5)


def test_an_error_of_unknown_size_is_normal():
    assert MeanDifference(1.65, 1.0).is_positive(0.05)
    assert not MeanDifference(1.64, 1.0).is_positive(0.05)
