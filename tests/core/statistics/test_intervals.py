"""Intervals of means: worked values, peers' values, and what they must hold."""

from __future__ import annotations

import numpy as np
import pytest

from core.statistics.intervals import (
    interval_by_kind,
    mean_interval,
    share_difference_interval,
    share_interval,
)


def test_mean_interval_is_scipy_s():
    from scipy.stats import t

    row = np.array([0.1, 0.4, 0.35, 0.8, 0.2, 0.9, 0.55])
    error = float(np.std(row, ddof=1)) / 7**0.5
    value, low, high = mean_interval(row)
    assert (low, high) == pytest.approx(t.interval(0.95, 6, loc=value, scale=error))
    assert mean_interval(np.full(6, 0.3)) == (0.3, 0.3, 0.3)


@pytest.mark.parametrize(("passed", "count"), [(19, 38), (7, 34), (0, 77), (50, 50)])
def test_share_of_single_trials_is_wilson_s(passed: int, count: int):
    from scipy.stats import binomtest

    row = np.array([1.0] * passed + [0.0] * (count - passed))
    theirs = binomtest(passed, count).proportion_ci(method="wilson")
    found = share_interval(row)
    assert found.value == pytest.approx(passed / count)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_share_of_values_that_vary_less_is_worth_more_trials():
    # Squares 8 x 0.0625 = 0.5, with one trial more (0.5 + 0.25) / 9 = 0.0833: 8 x 0.25 / 0.0833 = 24 trials.
    row = np.array([0.25, 0.75] * 4)
    z2 = 1.959964**2 / 24
    half = (z2 * 0.25 + z2**2 / 4) ** 0.5 / (1 + z2)
    assert share_interval(row) == pytest.approx((0.5, 0.5 - half, 0.5 + half), abs=1e-6)


def test_equal_shares_are_not_certain():
    assert share_interval(np.full(12, 0.5)).low < 0.45
    assert share_interval(np.ones(12)).low == pytest.approx(0.757, abs=1e-3)
    assert share_interval(np.zeros(1)).high > 0.7


def test_difference_of_shares_by_hand():
    # 10 prompts, three of them better: middle 3 / 10.5, variance 3.5 / 10.5 - middle^2, t of 9 degrees 2.262.
    row = np.array([1.0] * 3 + [0.0] * 7)
    middle = 3 / 10.5
    half = 2.262157 * ((3.5 / 10.5 - middle**2) / 10.5) ** 0.5
    assert share_difference_interval(row) == pytest.approx((0.3, middle - half, middle + half), abs=1e-6)


def test_difference_without_a_changed_prompt_has_a_width():
    value, low, high = share_difference_interval(np.zeros(48))
    assert value == 0
    assert low == -high
    assert 0.02 < high < 0.04


@pytest.mark.parametrize("kind", ["share", "difference", "mean"])
def test_interval_holds_its_value_and_grows_with_the_level(kind: str):
    draw = np.random.default_rng(0)
    for count in (2, 3, 12):
        for row in (draw.random(count), np.ones(count), np.zeros(count)):
            narrow, wide = (interval_by_kind(kind, row, level) for level in (0.95, 0.999))  # type: ignore[arg-type]
            assert narrow is not None
            assert wide is not None
            assert wide.low <= narrow.low <= narrow.value <= narrow.high <= wide.high


def test_one_number_without_a_range_has_no_interval():
    assert interval_by_kind("mean", np.array([3.0])) is None
    assert interval_by_kind("share", np.array([1.0])) is not None


@pytest.mark.parametrize("count", [6, 30])
def test_intervals_of_few_values_cover_the_mean(count: int):
    rows = np.random.default_rng(count).normal(0.0, 1.0, (2_000, count))
    found = [mean_interval(row) for row in rows]
    assert 0.935 <= np.mean([low <= 0 <= high for _, low, high in found]) <= 0.965
