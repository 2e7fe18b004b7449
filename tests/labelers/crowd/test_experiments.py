"""Gains from aggregation, mixing and selection in simulation; benchmarks/crowd.py has all results."""

from __future__ import annotations

from statistics import mean

import pytest

from tests.labelers.crowd.experiments import crowd_accuracy, mixed_accuracy, selected_accuracy


@pytest.mark.parametrize("labels", [3, *(pytest.param(labels, marks=pytest.mark.long) for labels in (5, 7))])
def test_posterior_beats_the_majority_by_three_points(labels: int):
    found = [crowd_accuracy(seed, labels, ("graded", "majority")) for seed in range(5)]
    assert mean(one["graded"] - one["majority"] for one in found) > 0.03
    assert mean(one["graded log-loss"] - one["majority log-loss"] for one in found) < -0.05


@pytest.mark.parametrize("sharpness", [3.0, pytest.param(1.0, marks=pytest.mark.long)])
def test_people_and_ai_pooled_beat_each_alone_calibrated_or_not(sharpness: float):
    found = [mixed_accuracy(seed, 3, sharpness, comparisons=300) for seed in range(4)]
    for alone in ("machines", "humans"):
        assert mean(one["pooled"] - one[alone] for one in found) > 0.01
        assert mean(one["pooled log-loss"] - one[f"{alone} log-loss"] for one in found) < 0


def test_questions_that_were_ranked_are_worth_twice_as_many_random_ones():
    found = [selected_accuracy(seed, (100, 200), 1.0, comparisons=600) for seed in range(6)]
    assert mean(one["ranked 100"] - one["random 200"] for one in found) >= 0
    assert mean(one["ranked 100"] - one["random 100"] for one in found) > 0.01
