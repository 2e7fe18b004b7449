"""Corrected rates: worked numbers, coverage, width, and judges that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import DataError
from core.statistics.bootstrap import wilson
from core.statistics.judges.rates import corrected_rate, judge_accuracy
from tests.core.statistics.judges.simulated import Judge, rate_coverage


def table(right_yes: int, wrong_yes: int, right_no: int, wrong_no: int) -> tuple[np.ndarray, np.ndarray]:
    """Return gold and judged labels: yes and no that the judge got right and wrong."""
    gold = np.repeat([1.0, 1.0, 0.0, 0.0], [right_yes, wrong_yes, right_no, wrong_no])
    judged = np.repeat([1.0, 0.0, 0.0, 1.0], [right_yes, wrong_yes, right_no, wrong_no])
    return gold, judged


def test_rate_is_the_ppi_estimate_with_the_tuned_weight():
    gold, judged = table(18, 2, 16, 4)
    rest = np.repeat([1.0, 0.0], [70, 30])
    found = corrected_rate(gold, judged, rest)
    # Judged: 22 of 40 and 70 of 100, together 92 of 140. cov(y, f) = (18 - 20 * 22 / 40) / 39.
    share = 92 / 140
    weight = (7 / 39) / (share * (1 - share) * 140 / 139 * (1 + 40 / 100))
    assert found.weight == pytest.approx(weight)
    assert found.rate.value == pytest.approx(0.5 + weight * (0.70 - 0.55))
    assert found.judged == pytest.approx(share)
    assert found.gold == wilson(0.5, 40)
    assert (found.labels, found.items, found.refused) == (40, 140, "")


def test_swapping_yes_and_no_mirrors_the_interval():
    gold, judged = table(30, 5, 40, 9)
    rest = np.random.default_rng(0).random(500)
    one, two = corrected_rate(gold, judged, rest), corrected_rate(1 - gold, 1 - judged, 1 - rest)
    assert two.rate == pytest.approx((1 - one.rate.value, 1 - one.rate.high, 1 - one.rate.low))


@pytest.mark.parametrize("rate", [0.3, 0.5, 0.8])
def test_intervals_of_an_informative_judge_cover_and_are_a_fifth_narrower(rate: float):
    found = rate_coverage(Judge(0.9, 0.9), rate, simulations=200)
    assert 0.90 <= found["coverage"] <= 0.99
    assert found["width by gold alone"] <= 0.8


@pytest.mark.long
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("judge", [Judge(0.9, 0.85), Judge(0.8, 0.75), Judge(0.98, 0.98), Judge(0, 0, 1.0)])
def test_coverage_is_93_to_97_percent(judge: Judge, rate: float):
    found = rate_coverage(judge, rate, simulations=1000)
    assert 0.925 <= found["coverage"] <= 0.98  # 1,000 simulations have an error of 0.7 points
    assert found["width by gold alone"] < 1


@pytest.mark.parametrize("judge", [Judge(0.5, 0.5), Judge(0.4, 0.5), Judge(0.1, 0.1)])
def test_judge_without_information_is_refused_and_gold_alone_counts(judge: Judge):
    found = rate_coverage(judge, 0.4, simulations=100)
    assert found["refused"] >= 0.9
    assert found["width by gold alone"] == pytest.approx(1, abs=0.01)


def test_refusal_says_why():
    gold, judged = table(10, 10, 10, 10)
    found = corrected_rate(gold, judged, judged)
    assert found.rate == found.gold
    assert found.weight == 0
    assert found.refused == (
        "the judge carries no information beyond noise: "
        "its correlation with 40 gold labels is 0.00, sensitivity + specificity 1.00"
    )


@pytest.mark.parametrize(
    ("gold", "judged", "rest", "reason"),
    [
        ([1.0, 0.0] * 4, [1.0, 0.0] * 4, [0.3, 0.4], "8 gold labels are too few"),
        ([1.0] * 20, [1.0, 0.0] * 10, [0.3], "all 20 gold labels are the same"),
        ([1.0, 0.0] * 10, [0.7] * 20, [0.3], "the same value"),
        ([1.0, 0.0] * 10, [1.0, 0.0] * 10, [], "every item has a gold label"),
    ],
)
def test_correction_that_cannot_be_estimated_is_refused(gold, judged, rest, reason: str):
    found = corrected_rate(np.array(gold), np.array(judged), np.array(rest))
    assert reason in found.refused
    assert found.rate == found.gold


def test_graded_gold_has_a_narrower_interval_than_yes_or_no():
    values = np.tile([0.4, 0.6], 20)
    graded = corrected_rate(values, values, np.array([])).gold
    assert graded.value == pytest.approx(0.5)
    assert graded.high - graded.low < 0.5 * (wilson(0.5, 40).high - wilson(0.5, 40).low)


def test_sensitivity_and_specificity_of_a_table():
    found = judge_accuracy(*table(18, 2, 12, 8))
    assert found.sensitivity == wilson(0.9, 20)
    assert found.specificity == wilson(0.6, 20)
    assert found.informedness is not None
    assert found.informedness.value == pytest.approx(0.5)
    # Newcombe's method 10 from the two Wilson intervals.
    low = 0.5 - np.hypot(0.9 - wilson(0.9, 20).low, 0.6 - wilson(0.6, 20).low)
    assert found.informedness.low == pytest.approx(low)


def test_ties_of_gold_are_skipped_and_a_class_without_labels_has_no_rate():
    found = judge_accuracy(np.array([1.0, 0.5, 1.0]), np.array([0.9, 0.1, 0.5]))
    assert found.sensitivity is not None
    assert found.sensitivity.value == pytest.approx(0.75)
    assert found.specificity is None
    assert found.informedness is None


@pytest.mark.parametrize(
    ("gold", "judged", "message"),
    [([], [], "0 gold labels"), ([1.0], [1.0, 0.0], "1 gold labels and 2"), ([2.0], [1.0], "value 1 is 2.0")],
)
def test_invalid_labels_are_refused(gold, judged, message: str):
    with pytest.raises(DataError, match=message):
        corrected_rate(np.array(gold), np.array(judged), np.array([0.5]))
