"""What is known of a step's answers: batches of different widths, and prompts that teach nothing."""

from __future__ import annotations

import pytest
import torch

from training.rl.group.parts import StepTokens, share_alike


def tokens(rows: int, width: int, value: float) -> StepTokens:
    matrix = torch.full((rows, width), value)
    return StepTokens(matrix.bool(), matrix, matrix, matrix, matrix)


def test_batches_are_filled_up_to_the_longest_answer():
    whole = StepTokens.together([tokens(2, 1, 1.0), tokens(1, 3, 2.0)])
    assert whole.mask.tolist() == [[True, False, False], [True, False, False], [True, True, True]]
    assert whole.reference.tolist() == [[1, 0, 0], [1, 0, 0], [2, 2, 2]]


@pytest.mark.parametrize(
    ("paid", "share"),
    [
        ([1.0, 1.0, 0.0, 1.0], 0.5),
        ([1.0, 2.0, 0.0, 1.0], 0.0),
        ([1.0, None, None, None], 1.0),
    ],
)
def test_prompts_whose_answers_earn_the_same_teach_nothing(paid: list[float | None], share: float):
    assert share_alike(paid, 2) == share
