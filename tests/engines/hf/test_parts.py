"""Branches of a prompt and whole answers, against plain transformers under an explicit mask."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from engines.hf.parts import branch_logprobs, whole_answer_logprobs
from engines.trees import BranchedPrompt, Tree
from tests.engines.families import WINDOW, tiny

FAMILIES = ("llama", "qwen3")


def ids(length: int, seed: int) -> tuple[int, ...]:
    chance = random.Random(seed)
    return tuple(chance.randrange(3, 120) for _ in range(length))


NAMES = (ids(3, 11), ids(3, 12))
SHARED, QUESTION = ids(9, 1), ids(7, 2)


def prompt(a: tuple[int, ...], b: tuple[int, ...]) -> BranchedPrompt:
    """Two replies with names behind them, in both namings."""
    one, two = NAMES
    return BranchedPrompt(SHARED, (((*a, *one), (*b, *two)), ((*a, *two), (*b, *one))), QUESTION)


def plain(model: Any, branches: tuple[tuple[int, ...], ...], window: int | None = None) -> torch.Tensor:
    """Next-token log-probabilities (V,) behind the question, in one naming, under a mask written by hand."""
    parts = [SHARED, *branches, QUESTION]
    owner = [number for number, part in enumerate(parts) for _ in part]
    longest = max(map(len, branches))
    starts = [0, *(len(SHARED) for _ in branches), len(SHARED) + longest]
    position = [start + i for start, part in zip(starts, parts, strict=True) for i in range(len(part))]
    size, last = len(owner), len(parts) - 1
    mask = torch.full((size, size), -torch.inf, dtype=torch.float64)
    for query in range(size):
        for key in range(query + 1):
            same_branch = owner[key] in (0, owner[query]) or owner[query] == last
            if same_branch and (window is None or position[query] - position[key] < window):
                mask[query, key] = 0.0
    with torch.no_grad():
        logits = model(
            input_ids=torch.tensor([[token for part in parts for token in part]]),
            position_ids=torch.tensor([position]),
            attention_mask=mask[None, None],
            use_cache=False,
        ).logits[0, -1]
    return logits.log_softmax(dim=-1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("first", "second"), [(5, 12), (8, 8), (40, 1), (3, 0)])
def test_branches_are_read_as_under_a_mask_that_hides_them_from_each_other(
    family: str, first: int, second: int
):
    case = prompt(ids(first, 3), ids(second, 4))
    found = branch_logprobs(tiny(family), case)
    eager = tiny(family, "eager")
    for naming, row in zip(case.namings, found, strict=True):
        assert torch.allclose(row.double(), plain(eager, naming), atol=1e-5)


def test_windows_count_positions_not_columns():
    case = prompt(ids(4, 3), ids(9, 4))
    found = branch_logprobs(tiny("mistral"), case)
    for naming, row in zip(case.namings, found, strict=True):
        assert torch.allclose(row.double(), plain(tiny("mistral", "eager"), naming, WINDOW), atol=1e-5)


def test_replies_are_computed_once_for_both_namings():
    a, b = ids(30, 3), ids(20, 4)
    case = prompt(a, b)
    assert len(case.ids) == len(SHARED) + len(a) + len(b) + 4 * 3 + 2 * len(QUESTION)
    assert case.context == len(SHARED) + len(a) + 3 + len(QUESTION)


def test_replies_that_begin_alike_or_are_equal_keep_their_own_branches():
    same = ids(6, 5)
    found = branch_logprobs(tiny("llama"), prompt(same, same))
    # Under equal replies, the names alone differ, and the namings are the same question.
    assert torch.allclose(found[0], found[1], atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_order_of_the_branches_means_nothing(family: str):
    model, eager = tiny(family), tiny(family, "eager")
    for seed in range(10):
        a, b = ids(3 + seed, seed), ids(30 - 3 * seed, 100 + seed)
        ab, ba = branch_logprobs(model, prompt(a, b)), branch_logprobs(model, prompt(b, a))
        # The second naming of (b, a) calls `a` as the first naming of (a, b) does.
        assert torch.equal(ab[0], ba[1])
        assert torch.equal(ab[1], ba[0])
        # It is the mask and the positions that make it so, and not the order in which they are computed.
        one, two = prompt(a, b).namings[0], prompt(b, a).namings[1]
        assert torch.allclose(plain(eager, one), plain(eager, two), atol=1e-6)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_answers_have_the_sum_of_their_tokens_log_probabilities(family: str, packed: bool):
    tree = Tree(ids(12, 1), (ids(5, 2), ids(1, 3), ids(20, 4)))
    found = whole_answer_logprobs(tiny(family), tree, packed=packed)
    model = tiny(family, "eager")
    for answer, value in zip(tree.answers, found, strict=True):
        with torch.no_grad():
            row = torch.tensor([[*tree.prompt_ids, *answer]])
            after = model(input_ids=row, use_cache=False).logits[0].log_softmax(dim=-1)
        steps = range(len(tree.prompt_ids) - 1, row.shape[1] - 1)
        expected = sum(float(after[at, token]) for at, token in zip(steps, answer, strict=True))
        assert value == pytest.approx(expected, abs=1e-4)
