"""Intervals: worked numbers, coverage, pairing, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from core.statistics import bootstrap
from core.statistics.bootstrap import paired_intervals, pattern_interval, wilson


def test_interval_of_two_values_is_read_off_the_three_possible_means():
    # A resample of (0, 1) has mean 0, 1/2 or 1 with chance 1/4, 1/2, 1/4: both tails reach the ends.
    (interval,) = paired_intervals([[0.0, 1.0]], seed=0)
    assert interval == (0.5, 0.0, 1.0)


def test_interval_of_a_share_is_that_of_the_binomial():
    # 30 of 100: resampled counts are Binomial(100, 0.3), whose 2.5 % and 97.5 % quantiles are 21 and 39.
    (interval,) = paired_intervals([[1.0] * 30 + [0.0] * 70], seed=3)
    assert interval.value == pytest.approx(0.3, abs=1e-12)
    assert (interval.low, interval.high) == pytest.approx((0.21, 0.39), abs=0.0101)


def test_interval_of_many_values_is_that_of_the_normal_approximation():
    values = np.random.default_rng(1).normal(5, 2, 1000)
    (interval,) = paired_intervals([values.tolist()], seed=0)
    half = 1.96 * values.std() / np.sqrt(1000)
    assert interval.value == pytest.approx(values.mean())
    assert (interval.low, interval.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.01
    )


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(7)
    samples = generator.exponential(1.0, size=(200, 60))
    found = [paired_intervals([row.tolist()], seed=n, resamples=1000)[0] for n, row in enumerate(samples)]
    covered = np.mean([interval.low <= 1.0 <= interval.high for interval in found])
    assert 0.88 <= covered <= 0.985  # skewed values, n = 60: a little below 95 % is expected


def test_paired_difference_of_correlated_values_is_narrower_than_the_unpaired_one():
    generator = np.random.default_rng(0)
    difficulty = generator.normal(0, 3, 200)
    one, two = difficulty + generator.normal(0, 1, 200), difficulty + generator.normal(0.5, 1, 200)
    a, b, paired = paired_intervals([one.tolist(), two.tolist(), (two - one).tolist()], seed=0)
    unpaired = np.hypot(a.high - a.low, b.high - b.low)
    assert paired.high - paired.low < 0.5 * unpaired
    assert paired.value == pytest.approx(b.value - a.value)


def test_rows_are_resampled_by_the_same_draws():
    values = np.random.default_rng(2).normal(size=50)
    one, two, sum_of_both = paired_intervals(
        [values.tolist(), (1 - values).tolist(), (values + (1 - values)).tolist()], seed=4
    )
    assert sum_of_both == pytest.approx((1.0, 1.0, 1.0))
    assert (two.low, two.high) == pytest.approx((1 - one.high, 1 - one.low))


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -7.3, 1e12])
@pytest.mark.parametrize("count", [1, 3, 17])
def test_equal_values_have_an_interval_of_no_width(value: float, count: int):
    assert paired_intervals([[value] * count], seed=0) == ((value, value, value),)


def test_same_seed_gives_the_same_interval_and_another_one_nearly():
    values = np.random.default_rng(5).normal(size=40).tolist()
    assert paired_intervals([values], seed=8) == paired_intervals([values], seed=8)
    (one,), (two,) = paired_intervals([values], seed=8), paired_intervals([values], seed=9)
    assert one != two
    assert (one.low, one.high) == pytest.approx((two.low, two.high), abs=0.03)


def test_interval_does_not_depend_on_which_other_rows_there_are():
    values = np.random.default_rng(6).normal(size=30).tolist()
    alone = paired_intervals([values], seed=1)[0]
    assert paired_intervals([[0.0] * 30, values], seed=1)[1] == alone


def test_drawing_in_steps_keeps_all_resamples(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 100)
    means = bootstrap._resampled_means(np.arange(12.0).reshape(1, 12), 0, 33)
    assert means.shape == (1, 33)
    assert ((means >= 0) & (means <= 11)).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_value_that_is_not_finite_is_refused(value: float):
    with pytest.raises(DataError, match="value 2 of row 1"):
        paired_intervals([[0.0, value]], seed=0)


@pytest.mark.parametrize("rows", [[], [[]], [[1.0], [1.0, 2.0]]])
def test_rows_that_cannot_be_paired_are_refused(rows: list[list[float]]):
    with pytest.raises(DataError):
        paired_intervals(rows, seed=0)


def test_interval_over_patterns_is_that_over_cases():
    # 30 of 100, as above: two patterns, of which the first counts.
    found = pattern_interval(lambda drawn: drawn[:, 0] / drawn.sum(axis=1), [30, 70], seed=3)
    assert found is not None
    assert found.value == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((0.21, 0.39), abs=0.0101)


def test_figure_that_is_not_defined_has_no_interval_and_undefined_resamples_are_passed_over():
    def ratio(drawn):
        return np.divide(drawn[:, 0], drawn[:, 1], out=np.full(len(drawn), np.nan), where=drawn[:, 1] > 0)

    assert pattern_interval(ratio, [3, 0], seed=0) is None
    found = pattern_interval(ratio, [2, 1], seed=0)
    assert found is not None
    assert np.isfinite(found).all()


def test_wilsons_interval_of_8_in_10():
    # Newcombe (1998) gives the formula: (2 n p + z^2 -+ z sqrt(z^2 + 4 n p q)) / (2 (n + z^2)).
    assert wilson(0.8, 10) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert wilson(1.0, 8).low < 0.7
