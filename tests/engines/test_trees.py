"""How rows are grouped under a bound on memory."""

from __future__ import annotations

import random

import pytest

from engines.trees import Tree, micro_batches


def random_sizes(seed: int) -> list[int]:
    chance = random.Random(seed)
    return [chance.randint(1, 150) for _ in range(chance.randint(1, 40))]


def test_a_tree_is_as_long_as_its_prompt_and_all_answers():
    assert len(Tree((1, 2, 3), ((4, 5), (), (6,)))) == 6


def test_worked_groups():
    # 20 goes alone; 9 leaves 3, which the row of 3 fills; 7 leaves 5, which the row of 5 fills.
    assert micro_batches([5, 9, 3, 7, 20], budget=12) == [[4], [1, 2], [3, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_every_row_is_in_one_group(seed: int):
    sizes = random_sizes(seed)
    groups = micro_batches(sizes, 100)
    assert sorted(index for group in groups for index in group) == list(range(len(sizes)))


@pytest.mark.parametrize("seed", range(5))
def test_no_group_of_several_rows_exceeds_the_budget(seed: int):
    sizes = random_sizes(seed)
    groups = micro_batches(sizes, 100)
    assert all(sum(sizes[index] for index in group) <= 100 for group in groups if len(group) > 1)
    assert all(len(group) == 1 for group in groups if any(sizes[index] > 100 for index in group))


@pytest.mark.parametrize("seed", range(5))
def test_no_group_begins_while_an_earlier_one_has_room(seed: int):
    sizes = random_sizes(seed)
    groups = micro_batches(sizes, 100)
    for later in range(1, len(groups)):
        first = sizes[groups[later][0]]
        assert all(
            sum(sizes[i] for i in group if sizes[i] >= first) + first > 100 for group in groups[:later]
        )


def test_a_row_of_just_the_budget_fits_and_one_token_more_goes_alone():
    assert micro_batches([6, 6], budget=12) == [[0, 1]]
    assert micro_batches([6, 7], budget=12) == [[1], [0]]
    assert micro_batches([13, 0], budget=12) == [[0], [1]]


def test_the_longest_rows_come_first_and_of_equals_the_earlier():
    assert micro_batches([4, 8, 4, 8], budget=8) == [[1], [3], [0, 2]]


def test_the_same_sizes_give_the_same_groups():
    sizes = random_sizes(9)
    assert micro_batches(sizes, 100) == micro_batches(tuple(sizes), 100)


def test_no_rows_give_no_groups():
    assert micro_batches([], 100) == []
