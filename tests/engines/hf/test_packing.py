"""Packed rows against rows of their own: the same numbers, and nothing seen that should not be."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engines.hf.packing import pack, packed_attention
from engines.trees import Tree
from tests.engines.families import FAMILIES, WINDOW, tiny

TWO = Tree(tuple(range(10, 23)), (tuple(range(30, 40)), tuple(range(50, 54))))
SHORT = Tree((1, 5, 6), ((7, 2), (8, 9, 2)))
FOUR = Tree((1, 60, 61, 62), ((63, 2), tuple(range(90, 105)), (2,), (64, 65, 66)))
EMPTY = Tree((1, 70, 71, 72), ((), (73, 2), ()))
ONE = Tree(tuple(range(80, 88)), ((88, 89, 2),))


def packed_logits(model: Any, trees: list[Tree]) -> list[torch.Tensor]:
    """The logits that predict each answer, (A, V) each, from one packed row."""
    row = pack(trees)
    with torch.inference_mode():
        logits = model(**row.inputs()).logits[0]
    return list(logits[row.predictors].split(row.lengths))


def plain_logits(model: Any, trees: list[Tree]) -> list[torch.Tensor]:
    """The same from each answer in a row of its own."""
    found = []
    for tree in trees:
        for answer in tree.answers:
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([[*tree.prompt_ids, *answer]])).logits[0]
            first = len(tree.prompt_ids) - 1
            found.append(logits[first : first + len(answer)])
    return found


def furthest(some: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    assert [one.shape for one in some] == [other.shape for other in others]
    apart = [(one - other).abs().max().item() for one, other in zip(some, others, strict=True) if len(one)]
    return max(apart)


# The numbers of rows of their own


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "trees",
    [[TWO], [ONE], [FOUR], [EMPTY], [ONE, TWO, SHORT], [EMPTY, FOUR, TWO, EMPTY, SHORT]],
    ids=["two", "one", "four", "empty", "mixed", "all"],
)
def test_packed_rows_have_the_logits_of_rows_of_their_own(family: str, trees: list[Tree]):
    packed = packed_logits(tiny(family), trees)
    assert furthest(packed, plain_logits(tiny(family, "sdpa"), trees)) < 1e-10


@pytest.mark.parametrize("family", ["mistral", "gemma2"])
def test_the_window_in_which_a_packed_row_is_seen_bites(family: str):
    # Otherwise the test above would hold for a model that forgets the window.
    wide = packed_logits(tiny(family, sliding_window=100), [TWO])
    assert furthest(packed_logits(tiny(family), [TWO]), wide) > 0.1
    assert len(TWO.prompt_ids) > 2 * WINDOW


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 1), (8, 2)])
def test_any_grouping_of_heads_is_packed_rightly(heads: int, groups: int):
    shape = {"num_attention_heads": heads, "num_key_value_heads": groups}
    packed = packed_logits(tiny("llama", **shape), [TWO, SHORT])
    assert furthest(packed, plain_logits(tiny("llama", "sdpa", **shape), [TWO, SHORT])) < 1e-10


def test_gradients_are_those_of_rows_of_their_own():
    trees = [TWO, FOUR]
    packed, plain = tiny("mistral"), tiny("mistral", "sdpa")
    row = pack(trees)
    packed(**row.inputs()).logits[0, row.predictors].log_softmax(-1)[:, 3].sum().backward()
    for tree in trees:
        for answer in tree.answers:
            logits = plain(input_ids=torch.tensor([[*tree.prompt_ids, *answer]])).logits[0]
            first = len(tree.prompt_ids) - 1
            logits[first : first + len(answer)].log_softmax(-1)[:, 3].sum().backward()
    for (name, ours), (_, theirs) in zip(packed.named_parameters(), plain.named_parameters(), strict=True):
        # transformers has its norms in float32, and a shared prompt's gradient is summed in another order.
        assert (ours.grad - theirs.grad).abs().max() < 1e-6 * theirs.grad.abs().max(), name


def test_a_row_can_be_packed_in_bfloat16():
    model = tiny("llama").bfloat16()
    found = packed_logits(model, [TWO])
    assert found[0].dtype == torch.bfloat16
    assert furthest(found, plain_logits(tiny("llama", "sdpa").bfloat16(), [TWO])) < 0.3


# What an answer sees


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_does_not_see_the_other_one(family: str):
    model = tiny(family)
    first, second = TWO.answers
    before = packed_logits(model, [Tree(TWO.prompt_ids, (first, second))])
    after = packed_logits(model, [Tree(TWO.prompt_ids, (first, (99, 98, 97, 96, 95, 94, 93)))])
    assert furthest(before[:1], after[:1]) < 1e-12
    turned = packed_logits(model, [Tree(TWO.prompt_ids, (second, first))])
    assert furthest(before, turned[::-1]) < 1e-12


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_does_not_see_another_prompt_or_its_answers(family: str):
    model = tiny(family)
    alone = packed_logits(model, [TWO])
    behind = packed_logits(model, [SHORT, FOUR, TWO])[-2:]
    before = packed_logits(model, [TWO, Tree((3, 3, 3), ((3,), (3, 3)))])[:2]
    assert furthest(alone, behind) < 1e-12
    assert furthest(alone, before) < 1e-12


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_sees_its_prompt_and_its_own_beginning(family: str):
    model = tiny(family)
    prompt, (first, second) = TWO.prompt_ids, TWO.answers
    before = packed_logits(model, [TWO])
    asked = packed_logits(model, [Tree((*prompt[:-1], 99), (first, second))])
    begun = packed_logits(model, [Tree(prompt, ((99, *first[1:]), second))])
    assert (asked[0][0] - before[0][0]).abs().max() > 0.1
    assert (asked[1][0] - before[1][0]).abs().max() > 0.1
    assert (begun[0][0] - before[0][0]).abs().max() < 1e-12  # predicted before its first token is read
    assert (begun[0][1] - before[0][1]).abs().max() > 0.1


def test_no_position_sees_a_later_one():
    model = tiny("llama")
    first, second = TWO.answers
    before = packed_logits(model, [TWO])
    after = packed_logits(model, [Tree(TWO.prompt_ids, ((*first[:-1], 99), second))])
    assert furthest(before, after) < 1e-12  # the last token is predicted, and read by nobody


# The layout of a row


def test_worked_row():
    row = pack([Tree((10, 11, 12), ((20, 21), (30,))), Tree((40,), ((50,), ()))])
    assert row.input_ids.tolist() == [[10, 11, 12, 20, 21, 30, 40, 50]]
    assert row.position_ids.tolist() == [[0, 1, 2, 3, 4, 3, 0, 1]]
    assert row.answer_ids.tolist() == [20, 21, 30, 50]
    assert row.predictors.tolist() == [2, 3, 2, 6]
    assert row.lengths == (2, 1, 1, 0)
    assert row.ends.tolist() == [4, 5, 7, 6]  # of the empty answer: the last token of its prompt
    assert [block.span for block in row.blocks] == [slice(0, 6), slice(6, 8)]
    assert row.blocks[0].branch.tolist() == [0, 0, 0, 1, 1, 2]


def test_worked_mask():
    block = pack([Tree((10, 11), ((20, 21), (30,)))]).blocks[0]
    seen = (block.mask(None, torch.float64) == 0).int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]
    near = (block.mask(2, torch.float64) == 0).int().tolist()
    assert near == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 1, 0, 0, 1],  # the second answer follows the prompt, wherever it stands in the row
    ]


def test_what_is_not_seen_is_minus_infinity_in_the_type_of_the_queries():
    block = pack([Tree((10, 11), ((20,), (30,)))]).blocks[0]
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        mask = block.mask(None, dtype)
        assert mask.dtype == dtype
        assert set(mask.unique().tolist()) == {0.0, float("-inf")}


def test_a_mask_is_made_once_for_all_layers():
    block = pack([TWO]).blocks[0]
    assert block.mask(WINDOW, torch.float32) is block.mask(WINDOW, torch.float32)
    assert block.mask(None, torch.float32) is not block.mask(WINDOW, torch.float32)


def test_transformers_is_given_no_mask_of_the_whole_row():
    inputs = pack([TWO, FOUR]).inputs()
    assert inputs["attention_mask"].shape == (1, 1, 1, 1)
    assert inputs["use_cache"] is False


# The attention itself


@pytest.mark.parametrize(("heads", "groups"), [(9, 3), (4, 2), (3, 3), (8, 1)])
@pytest.mark.parametrize("window", [None, 3])
def test_packed_attention_is_softmax_over_what_is_seen(heads: int, groups: int, window: int | None):
    row = pack([TWO, SHORT, EMPTY])
    length, width, scale = row.input_ids.shape[1], 8, 0.3
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, heads, length, width, generator=generator, dtype=torch.float64)
    key, value = (
        torch.randn(1, groups, length, width, generator=generator, dtype=torch.float64) for _ in range(2)
    )
    seen = torch.block_diag(*[block.mask(window, torch.float64) == 0 for block in row.blocks]).bool()
    wide_key, wide_value = (tensor.repeat_interleave(heads // groups, dim=1) for tensor in (key, value))
    weights = (scale * query @ wide_key.transpose(-1, -2)).masked_fill(~seen, -torch.inf).softmax(dim=-1)
    expected = (weights @ wide_value).transpose(1, 2)
    found = packed_attention(query, key, value, row.blocks, scale, window)
    assert found.shape == (1, length, heads, width)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
