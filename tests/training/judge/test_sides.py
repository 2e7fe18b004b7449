"""Both sides of a principle's gold are counted, and weigh the same."""

from __future__ import annotations

import pytest

from training.judge.probe import GoldLabel
from training.judge.sides import LEAST_OF_A_SIDE, LEAST_PROMPTS, GoldSide, balanced_sides, gold_sides


def label(target: float, group: str, second: int | None = None, weight: float = 1.0) -> GoldLabel:
    return GoldLabel(0, second, target, group, "x", weight)


def test_pairs_are_on_both_sides_and_ties_on_none():
    labels = [label(1.0, "a"), label(0.0, "b"), label(0.0, "b"), label(0.5, "c"), label(0.9, "d", 1)]
    assert gold_sides([*labels, label(0.5, "e", 1)]) == (GoldSide(2, 2), GoldSide(3, 2))


def test_a_side_needs_labels_and_prompts():
    assert GoldSide(LEAST_OF_A_SIDE, LEAST_PROMPTS).suffices
    assert not GoldSide(LEAST_OF_A_SIDE - 1, LEAST_PROMPTS).suffices
    assert not GoldSide(LEAST_OF_A_SIDE, LEAST_PROMPTS - 1).suffices


def test_a_rare_side_weighs_as_much_as_the_other():
    labels = [*(label(1.0, f"{n}") for n in range(9)), label(0.0, "z", weight=2.0), label(1.0, "p", 1, 3.0)]
    weighted = balanced_sides(labels)
    kept, broken = (sum(one.weight for one in weighted[:10] if one.target == t) for t in (1.0, 0.0))
    assert kept == pytest.approx(broken) == pytest.approx(5.5)
    assert weighted[-1].weight == 3.0


def test_one_side_alone_is_left_as_it_is():
    labels = [label(1.0, "a"), label(1.0, "b")]
    assert balanced_sides(labels) == labels
