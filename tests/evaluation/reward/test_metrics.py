"""Accuracy, cross-entropy and Brier score of scored pairs: worked numbers, identities, what is refused."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from core.errors import DataError
from evaluation.reward.metrics import (
    ScoredPair,
    accuracy,
    brier,
    check_pairs,
    cross_entropy,
    excess_entropy,
    label_entropy,
    mean_metrics,
    sigmoid,
    weighted_share,
)
from tests.evaluation.reward.scored_pairs import pair_of, pairs_of, random_pairs, swapped


def test_a_tie_has_no_right_answer():
    assert pair_of(3.0, p=0.5).right is None
    metric = accuracy("a", pairs_of([3.0, -3.0, 1.0], [0.5, 0.5, 0.9]))
    assert (metric.value, metric.n) == (1.0, 1)


def test_accuracy_of_ties_alone_is_unknown():
    assert accuracy("a", pairs_of([1.0, 2.0], [0.5, 0.5])) is None
    assert accuracy("a", []) is None


def test_equal_scores_are_half_right():
    assert pair_of(0.0, p=0.9).right == 0.5
    assert accuracy("a", pairs_of([0.0, 1.0], [1.0, 1.0])).value == 0.75


def test_label_below_one_half_means_that_the_rejected_answer_is_better():
    assert pair_of(-1.0, p=0.2).right == 1
    assert pair_of(1.0, p=0.2).right == 0


def test_interval_of_an_accuracy_is_wilsons():
    # 7 of 10, z = 1.96: centre (0.7 + 0.19207) / 1.38415, half width 1.96 sqrt(0.021 + 0.0096) / 1.38415.
    metric = accuracy("a", pairs_of([1.0] * 7 + [-1.0] * 3, [1.0] * 10))
    assert (metric.value, metric.low, metric.high) == pytest.approx((0.7, 0.3968, 0.8922), abs=1e-4)
    assert metric.unit == "share"


def test_all_right_of_few_is_not_certain():
    metric = accuracy("a", pairs_of([1.0] * 8, [1.0] * 8))
    assert (metric.value, metric.high) == (1.0, 1.0)
    assert metric.low == pytest.approx(0.6756, abs=1e-4)


def test_interval_covers_the_true_accuracy_about_as_often_as_it_says():
    counts = np.random.default_rng(3).binomial(40, 0.7, size=2000)
    found = [weighted_share("a", [1.0] * k + [0.0] * (40 - k), [1.0] * 40) for k in counts.tolist()]
    assert 0.93 <= np.mean([metric.low <= 0.7 <= metric.high for metric in found]) <= 0.98


def test_weights_weigh_and_their_scale_has_no_say():
    one = weighted_share("a", [1.0, 0.0, 1.0], [3.0, 1.0, 0.0])
    assert one.value == 0.75
    assert one == weighted_share("a", [1.0, 0.0, 1.0], [6.0, 2.0, 0.0])
    assert weighted_share("a", [1.0], [0.0]) is None


def test_unequal_weights_widen_the_interval():
    even = weighted_share("a", [1.0, 0.0] * 10, [1.0] * 20)
    uneven = weighted_share("a", [1.0, 0.0] * 10, [10.0, 10.0, *[1.0] * 18])
    assert even.value == uneven.value == 0.5
    assert uneven.high - uneven.low > 1.5 * (even.high - even.low)


def test_sigmoid_does_not_overflow():
    assert sigmoid(np.array([-1e6, 0.0, math.log(3), 1e6])).tolist() == pytest.approx([0, 0.5, 0.75, 1])


def test_cross_entropy_is_that_of_the_definition():
    margins, labels = np.array([math.log(3), -1.0, 0.0]), np.array([1.0, 0.3, 0.8])
    q = 1 / (1 + np.exp(-margins))
    expected = -labels * np.log(q) - (1 - labels) * np.log(1 - q)
    assert cross_entropy(margins, labels) == pytest.approx(expected)
    assert cross_entropy(margins, labels)[0] == pytest.approx(math.log(4 / 3))


def test_cross_entropy_of_huge_margins_is_finite():
    margins, labels = np.array([1e4, -1e4, 1e4, -1e4]), np.array([1.0, 0.0, 0.0, 1.0])
    assert cross_entropy(margins, labels).tolist() == [0, 0, 1e4, 1e4]


def test_label_entropy_is_greatest_for_a_tie_and_zero_for_a_certain_label():
    assert label_entropy(np.array([0.5, 0.0, 1.0])).tolist() == pytest.approx([math.log(2), 0, 0])


def test_cross_entropy_is_at_least_the_entropy_of_the_label():
    generator = np.random.default_rng(0)
    margins, labels = generator.normal(0, 3, 500), generator.random(500)
    assert (cross_entropy(margins, labels) >= label_entropy(labels)).all()
    assert (excess_entropy(margins, labels) > 0).all()
    assert excess_entropy(np.log(labels / (1 - labels)), labels) == pytest.approx(np.zeros(500), abs=1e-12)


def test_brier_score_is_the_squared_distance_to_the_label():
    assert brier(np.array([math.log(3), 0.0]), np.array([1.0, 0.5])).tolist() == pytest.approx([0.0625, 0])


def test_means_are_those_of_the_pairs_and_lie_in_their_intervals():
    nll, excess, score = mean_metrics(pairs_of([math.log(3), 0.0], [1.0, 0.5]), seed=0)
    assert nll.value == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    assert excess.value == pytest.approx(math.log(4 / 3) / 2)
    assert score.value == pytest.approx(0.0625 / 2)
    assert (score.low, score.high) == pytest.approx((0, 0.0625))
    assert [metric.name for metric in (nll, excess, score)] == [
        "reward.nll",
        "reward.excess_nll",
        "reward.brier",
    ]


def test_weight_of_two_is_the_pair_twice():
    pairs = random_pairs(60)
    heavy = [dataclasses.replace(pair, weight=2.0) for pair in pairs[:30]] + pairs[30:]
    twice = pairs[:30] * 2 + pairs[30:]
    for weighed, doubled in zip(mean_metrics(heavy, 0), mean_metrics(twice, 0), strict=True):
        assert weighed.value == pytest.approx(doubled.value)
    assert accuracy("a", heavy).value == pytest.approx(accuracy("a", twice).value)


def test_interval_of_a_weighted_mean_is_that_of_resampling_the_ratio():
    generator = np.random.default_rng(1)
    pairs = [dataclasses.replace(p, weight=float(generator.exponential())) for p in random_pairs(300)]
    values = brier(np.array([p.margin for p in pairs]), np.array([p.p_chosen for p in pairs]))
    weights = np.array([p.weight for p in pairs])
    drawn = generator.integers(300, size=(4000, 300))
    ratios = (values * weights)[drawn].sum(axis=1) / weights[drawn].sum(axis=1)
    found = mean_metrics(pairs, 0)[2]
    assert found.value == pytest.approx(np.average(values, weights=weights))
    assert (found.low, found.high) == pytest.approx(np.quantile(ratios, (0.025, 0.975)), abs=0.004)


def test_weighted_interval_stays_among_the_values():
    heavy = [dataclasses.replace(p, weight=w) for p, w in zip(random_pairs(3), (100, 1, 1), strict=True)]
    values = brier(np.array([p.margin for p in heavy]), np.array([p.p_chosen for p in heavy]))
    found = mean_metrics(heavy, 0)[2]
    assert values.min() <= found.low <= found.value <= found.high <= values.max()


def test_swapping_the_answers_changes_nothing():
    pairs = random_pairs(80, noise=1.0)
    other = [swapped(pair) for pair in pairs]
    assert accuracy("a", pairs) == accuracy("a", other)
    for one, two in zip(mean_metrics(pairs, 0), mean_metrics(other, 0), strict=True):
        assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high))


def test_same_reward_added_to_both_answers_changes_nothing():
    shifted = [
        dataclasses.replace(p, chosen_reward=p.chosen_reward + 8, rejected_reward=8) for p in three_pairs()
    ]
    assert mean_metrics(shifted, 0) == mean_metrics(three_pairs(), 0)


def three_pairs() -> list[ScoredPair]:
    return pairs_of([1.0, -2.0, 0.5], [0.75, 0.25, 0.5])


def test_no_pairs_are_refused():
    with pytest.raises(DataError, match="no pairs"):
        check_pairs([])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_reward_that_is_not_finite_is_refused_by_the_pairs_id(value: float):
    with pytest.raises(DataError, match="pair p7: the rewards are"):
        check_pairs([pair_of(1.0), pair_of(value, id="p7")])
    with pytest.raises(DataError, match="pair p7: the rewards are"):
        check_pairs([dataclasses.replace(pair_of(value, id="p7"), rejected_reward=value)])


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"p_chosen": 1.2}, "p_chosen is 1.2"),
        ({"p_chosen": float("nan")}, "p_chosen is nan"),
        ({"weight": -1.0}, "the weight is -1.0"),
        ({"weight": float("inf")}, "the weight is inf"),
        ({"rejected_tokens": -3}, "10 and -3 tokens"),
    ],
)
def test_what_a_pair_cannot_have_is_refused(fields: dict[str, float], what: str):
    with pytest.raises(DataError, match=f"pair p7: .*{what}"):
        check_pairs([dataclasses.replace(pair_of(1.0, id="p7"), **fields)])
