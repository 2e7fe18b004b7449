"""Corrected paired differences: worked numbers, identities, and judges that are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from core.errors import DataError
from core.statistics.intervals import share_difference_interval
from core.statistics.judges.differences import corrected_difference

# Twelve labelled prompts: six better, one worse, five the same; the judge sees five of the six and one more.
GOLD = np.array([1.0] * 6 + [-1.0] + [0.0] * 5)
JUDGED = np.array([0.8] * 5 + [0.0] + [-0.8] + [0.8] + [0.0] * 4)
REST = np.array([0.8] * 20 + [0.0] * 20)


def test_difference_is_the_ppi_estimate_with_the_tuned_weight():
    found = corrected_difference(GOLD, JUDGED, REST)
    # Labelled: mean(y) = 5/12, mean(f) = (5 - 1 + 1) 0.8 / 12 = 1/3; mean(f) on the other 40 prompts 0.4.
    # sum(y f) = 5 * 0.8 + 0.8 = 4.8, so cov(y, f) = (4.8 - 12 * 5/12 * 1/3) / 11.
    covariance = (4.8 - 5 / 3) / 11
    # All 52: 26 values of 0.8 and one of -0.8; sum 20, sum of squares 27 * 0.64.
    variance = (27 * 0.64 - 20**2 / 52) / 51
    weight = covariance / (variance * (1 + 12 / 40))
    assert found.weight == pytest.approx(weight)
    assert found.difference.value == pytest.approx(5 / 12 + weight * (0.4 - 1 / 3))
    assert found.judged == pytest.approx(20 / 52)
    assert (found.labels, found.items, found.refused) == (12, 52, "")
    squares = sum((y - weight * f) ** 2 for y, f in zip(GOLD, JUDGED, strict=True))
    mean = 5 / 12 - weight / 3
    error = math.sqrt((squares - 12 * mean**2 + 0.5) / 10 / 12 + weight**2 * variance / 40)
    half = stats.t.ppf(0.975, 10) * error
    assert found.difference.high - found.difference.value == pytest.approx(half)
    assert found.p_value == pytest.approx(2 * stats.t.sf(found.difference.value / error, 10))
    assert found.gold == share_difference_interval(GOLD)
    assert half < (found.gold.high - found.gold.low) / 2


def test_swapped_variants_mirror_the_interval():
    one, two = corrected_difference(GOLD, JUDGED, REST), corrected_difference(-GOLD, -JUDGED, -REST)
    value, low, high = one.difference
    assert two.difference == pytest.approx((-value, -high, -low))
    assert two.p_value == pytest.approx(one.p_value)


def test_order_of_prompts_does_not_matter():
    order = np.random.default_rng(0).permutation(len(GOLD))
    one = corrected_difference(GOLD, JUDGED, REST)
    two = corrected_difference(GOLD[order], JUDGED[order], REST[::-1])
    assert two.difference == pytest.approx(one.difference)


@pytest.mark.parametrize(
    ("gold", "judged", "rest", "reason"),
    [
        (GOLD, -JUDGED, -REST, "no information beyond noise"),
        (GOLD, np.zeros(12), REST, "the same value"),
        (np.zeros(12), JUDGED, REST, "all 12 gold labels are the same"),
        (GOLD[:9], JUDGED[:9], REST, "9 gold labels are too few"),
        (GOLD, JUDGED, REST[:0], "every item has a gold label"),
    ],
)
def test_judge_without_information_is_refused_and_gold_alone_counts(
    gold: np.ndarray, judged: np.ndarray, rest: np.ndarray, reason: str
):
    found = corrected_difference(gold, judged, rest)
    assert reason in found.refused
    assert found.difference == found.gold == share_difference_interval(gold)
    assert (found.weight, found.p_value) == (0.0, None)


def test_values_that_are_no_differences_are_refused():
    with pytest.raises(DataError, match=r"value 1 is 1\.5"):
        corrected_difference(np.array([1.5]), np.array([0.0]), REST)
    with pytest.raises(DataError, match="found 0 gold differences"):
        corrected_difference(np.array([]), np.array([]), REST)


def _covered(rates: tuple[float, float], labels: int, rest: int, draws: int) -> tuple[float, float]:
    """Return how often the interval covers the true difference, and how often p <= 0.05."""
    generator = np.random.default_rng(0)
    covered = rejected = 0
    for _ in range(draws):
        gold = [(generator.random(labels + rest) < rate).astype(float) for rate in rates]
        right = [generator.random(labels + rest) < 0.9 for _ in rates]
        judged = [np.where(ok, 0.9 * y + 0.05, 0.95 - 0.9 * y) for y, ok in zip(gold, right, strict=True)]
        change, seen = gold[1] - gold[0], judged[1] - judged[0]
        found = corrected_difference(change[:labels], seen[:labels], seen[labels:])
        covered += found.difference.low <= rates[1] - rates[0] <= found.difference.high
        rejected += found.p_value is not None and found.p_value <= 0.05
    return covered / draws, rejected / draws


def test_intervals_cover_and_no_difference_is_seldom_found():
    covered, _ = _covered((0.3, 0.6), 24, 100, 300)
    assert covered >= 0.92
    covered, rejected = _covered((0.4, 0.4), 24, 100, 300)
    assert covered >= 0.92
    assert rejected <= 0.08


@pytest.mark.long
@pytest.mark.parametrize("rates", [(0.1, 0.1), (0.5, 0.5), (0.9, 0.9), (0.1, 0.3), (0.3, 0.7), (0.5, 0.9)])
@pytest.mark.parametrize("labels", [12, 24, 60])
def test_coverage_is_at_least_93_percent(rates: tuple[float, float], labels: int):
    covered, rejected = _covered(rates, labels, 100, 1000)
    assert covered >= 0.93
    assert rates[0] != rates[1] or rejected <= 0.06
