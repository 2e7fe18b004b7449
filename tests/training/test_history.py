"""What logged figures say: worked histories."""

from __future__ import annotations

import pytest

from training.history import CHOSEN_RATIO, best_step, chosen_fall, held_out_losses, is_exhausted

HISTORY = [
    {"step": 1, "loss": 0.7},
    {"step": 2, "loss": 0.6},
    {"step": 2, "eval_loss": 0.65, "eval_accuracy": 0.5},
    {"step": 4, "eval_loss": 0.5},
    {"step": 6, "eval_loss": 0.5},
    {"step": 6, "train_runtime": 1.0, "train_loss": 0.6},
]


def evaluations(*losses: float) -> list[tuple[int, float]]:
    return [(2 * number, loss) for number, loss in enumerate(losses, start=1)]


def test_held_out_losses_are_those_of_evaluations_alone():
    assert held_out_losses(HISTORY) == [(2, 0.65), (4, 0.5), (6, 0.5)]
    assert held_out_losses([]) == []


def test_the_best_step_is_the_first_of_the_lowest_losses():
    assert best_step(held_out_losses(HISTORY)) == 4
    assert best_step(held_out_losses(HISTORY[::-1])) == 4
    assert best_step(held_out_losses(HISTORY[:3])) == 2


def test_without_an_evaluation_there_is_no_best_step():
    assert best_step([]) is None
    assert best_step(held_out_losses(HISTORY[:2])) is None


@pytest.mark.parametrize(
    ("losses", "patience", "exhausted"),
    [
        ((), 1, False),
        ((1.0,), 1, False),  # the first one cannot be worse than another
        ((1.0, 0.9), 1, False),
        ((1.0, 1.0), 1, True),  # an equal one is no improvement
        ((1.0, 1.1), 1, True),
        ((1.0, 1.1), 2, False),
        ((1.0, 1.1, 1.2), 2, True),
        ((1.0, 1.1, 0.9), 2, False),
        ((1.0, 0.9, 0.95, 0.9), 2, True),
        ((1.0, 0.5, 0.8, 0.7, 0.6), 3, True),  # each better than the one before, and none than the best
        ((1.0, 0.5, 0.8, 0.7, 0.6), 4, False),
        ((0.5, 0.8, 0.4, 0.6), 2, False),
    ],
)
def test_patience_is_exhausted_when_so_many_in_a_row_bring_nothing_lower(
    losses: tuple[float, ...], patience: int, exhausted: bool
):
    assert is_exhausted(evaluations(*losses), patience) is exhausted


def test_without_a_limit_patience_is_endless():
    assert not is_exhausted(evaluations(1.0, 2.0, 3.0, 4.0), None)


# Chosen answers that fall


def ratios(*values: float) -> list[dict[str, float]]:
    return [{"step": step, "loss": 0.5, CHOSEN_RATIO: value} for step, value in enumerate(values, start=1)]


def test_a_fall_is_found_with_its_step_and_its_size():
    # The mean of the first 9 values is -0.13 already, but 9 are too few; that of 10 is -0.15.
    assert chosen_fall(ratios(*[0.0] * 5, *[-0.3] * 10), 0.1) == (10, pytest.approx(0.15))


def test_a_later_fall_is_found_where_the_mean_passes_the_limit():
    # After n steps of the fall the mean is (0.2 * (10 - n) - 0.3 * n) / 10, first below -0.1 at n = 7.
    assert chosen_fall(ratios(*[0.2] * 10, *[-0.3] * 20), 0.1) == (17, pytest.approx(0.15))


def test_of_several_falls_the_first_is_told():
    assert chosen_fall(ratios(*[-0.2] * 10, *[0.5] * 10, *[-0.9] * 10), 0.1) == (10, pytest.approx(0.2))


@pytest.mark.parametrize(
    "values",
    [
        [],
        [-5.0] * 9,  # too few steps to tell
        [0.5] * 30,
        [-0.09] * 30,
        [0.2, -0.3] * 15,  # up and down
        [0.0] * 12 + [-0.9] + [0.0] * 12,  # one step alone
    ],
)
def test_what_stays_above_the_limit_on_the_mean_is_no_fall(values: list[float]):
    assert chosen_fall(ratios(*values), 0.1) is None


def test_held_out_figures_are_no_fall():
    rows = [{"step": step, "eval_loss": 0.5, f"eval_{CHOSEN_RATIO}": -5.0} for step in range(1, 30)]
    assert chosen_fall(rows, 0.1) is None
