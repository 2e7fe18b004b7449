"""How rows are grouped under a bound on memory."""

from __future__ import annotations

import random

import pytest

from engines.trees import Tree, common_length, micro_batches, prefix_groups, prefix_tree


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


def tokens_of(rows: list[tuple[int, ...]], groups: list[list[int]]) -> int:
    return sum(len(prefix_tree([rows[index] for index in group])) for group in groups)


def families_of_rows(seed: int) -> list[tuple[int, ...]]:
    """Rows with prefixes of several lengths, shuffled; some are equal, some are prefixes of others."""
    chance = random.Random(seed)
    rows = []
    for _ in range(chance.randint(1, 4)):
        stem = tuple(chance.randrange(3) for _ in range(chance.randint(0, 12)))
        rows += [
            stem + tuple(chance.randrange(3) for _ in range(chance.randint(0, 6)))
            for _ in range(chance.randint(1, 5))
        ]
    rows = [row or (0,) for row in rows]
    chance.shuffle(rows)
    return rows


def test_worked_lengths_of_common_prefixes():
    assert common_length((1, 2, 3), (1, 2, 4, 5)) == 2
    assert common_length((1, 2), (1, 2, 4)) == common_length((1, 2, 4), (1, 2)) == 2
    assert common_length((), (1,)) == common_length((2,), (1,)) == 0
    long = tuple(range(300))
    assert [common_length(long, (*long[:n], -1, *long[n:])) for n in (0, 1, 7, 299)] == [0, 1, 7, 299]


def test_rows_of_two_prefixes_form_two_groups_whatever_their_order():
    first, second = (5, 6, 7, 8), (5, 9, 9)
    rows = [(*second, 1), (*first, 1), (*second, 2), (*first, 2), (*first, 3)]
    assert sorted(prefix_groups(rows)) == [[0, 2], [1, 3, 4]]
    assert prefix_tree([rows[i] for i in (1, 3, 4)]) == Tree(first, ((1,), (2,), (3,)))


def test_equal_rows_are_computed_once_and_strangers_stay_alone():
    assert sorted(prefix_groups([(1, 2), (3,), (1, 2)])) == [[0, 2], [1]]
    assert prefix_tree([(1, 2), (1, 2)]) == Tree((1, 2), ((), ()))
    assert prefix_groups([]) == []


@pytest.mark.parametrize("seed", range(12))
def test_groups_compute_no_more_than_rows_alone_or_all_in_one_tree(seed: int):
    rows = families_of_rows(seed)
    groups = prefix_groups(rows)
    assert sorted(index for group in groups for index in group) == list(range(len(rows)))
    assert tokens_of(rows, groups) <= min(sum(map(len, rows)), len(prefix_tree(rows)))


def test_sixteen_questions_about_two_texts_compute_each_text_once():
    chance = random.Random(0)
    texts = [tuple(chance.randrange(9) for _ in range(50)) for _ in range(2)]
    rows = [(*text, 10 + n, n, n) for n in range(16) for text in texts]
    assert tokens_of(rows, prefix_groups(rows)) == 2 * (50 + 16 * 3)


def test_tree_holds_each_row():
    for seed in range(20):
        rows = families_of_rows(seed)
        tree = prefix_tree(rows)
        assert [(*tree.prompt_ids, *answer) for answer in tree.answers] == rows
