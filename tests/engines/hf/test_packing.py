"""Packed rows against rows of their own: the same numbers, and nothing seen that should not be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from engines.hf import packing
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
    assert [block.lengths for block in row.blocks] == [(3, 2, 1), (1, 1, 0)]


def test_a_small_block_is_one_piece_under_a_mask():
    block = pack([Tree((10, 11), ((20, 21), (30,)))]).blocks[0]
    (piece,) = block.pieces(None, 1, torch.float64)
    assert (piece.queries, piece.keys) == (slice(0, 5), (slice(0, 5),))
    assert (piece.mask == 0).int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]
    (near,) = block.pieces(2, 1, torch.float64)
    assert (near.mask == 0).int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 1, 0, 0, 1],  # the second answer follows the prompt, wherever it stands in the row
    ]


def test_a_prompt_with_one_answer_needs_no_mask():
    (piece,) = pack([ONE]).blocks[0].pieces(None, 1, torch.float32)
    assert piece == packing.AttentionCall(slice(0, 11), (slice(0, 11),), None)


def test_a_large_block_has_a_piece_for_each_branch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing, "_SMALL", 0)
    block = pack([ONE, Tree((10, 11), ((20, 21), (30,), (), (40, 41)))]).blocks[1]
    first, second, third = block.pieces(None, 1, torch.float64)
    assert first == packing.AttentionCall(slice(11, 15), (slice(11, 15),), None)
    assert (second.queries, second.keys) == (slice(15, 16), (slice(11, 13), slice(15, 16)))
    assert (second.mask == 0).int().tolist() == [[1, 1, 1]]
    assert (third.queries, third.keys) == (slice(16, 18), (slice(11, 13), slice(16, 18)))
    assert (third.mask == 0).int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


def test_a_window_shorter_than_a_branch_divides_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing, "_SMALL", 0)
    first, second, third = pack([Tree(tuple(range(10, 17)), ())]).blocks[0].pieces(3, 1, torch.float64)
    assert first == packing.AttentionCall(slice(0, 3), (slice(0, 3),), None)
    assert (second.queries, second.keys) == (slice(3, 6), (slice(1, 6),))
    assert (second.mask == 0).int().tolist() == [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1]]
    assert (third.queries, third.keys) == (slice(6, 7), (slice(4, 7),))


def test_what_is_not_seen_is_minus_infinity_in_the_type_of_the_queries():
    block = pack([Tree((10, 11), ((20,), (30,)))]).blocks[0]
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        mask = block.pieces(None, 3, dtype)[0].mask
        assert mask.dtype == dtype
        assert mask.shape == (3 * 4, 4)  # a row for each head of a group
        assert mask.stride(0) % 8 == 0
        assert set(mask.unique().tolist()) == {0.0, float("-inf")}


def test_masks_are_made_once_for_all_layers():
    block = pack([TWO]).blocks[0]
    assert block.pieces(WINDOW, 2, torch.float32) is block.pieces(WINDOW, 2, torch.float32)
    assert block.pieces(None, 2, torch.float32) is not block.pieces(WINDOW, 2, torch.float32)


def test_transformers_is_given_no_mask_of_the_whole_row():
    inputs = pack([TWO, FOUR]).inputs()
    assert inputs["attention_mask"].shape == (1, 1, 1, 1)
    assert inputs["use_cache"] is False


# The attention itself


def seen_of(trees: list[Tree], window: int | None) -> torch.Tensor:
    """Return True (T, T) where a query of a packed row may attend to a key."""
    tokens = [
        (number, branch, position if branch == 0 else position + len(tree.prompt_ids))
        for number, tree in enumerate(trees)
        for branch, part in enumerate((tree.prompt_ids, *tree.answers))
        for position in range(len(part))
    ]
    return torch.tensor(
        [
            [
                number == other and seen in (0, branch) and 0 <= position - key < (window or len(tokens))
                for other, seen, key in tokens
            ]
            for number, branch, position in tokens
        ]
    )


def softmax_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, seen: torch.Tensor, scale: float
) -> torch.Tensor:
    group = query.shape[1] // key.shape[1]
    wide_key, wide_value = (tensor.repeat_interleave(group, dim=1) for tensor in (key, value))
    scores = (scale * query @ wide_key.transpose(-1, -2)).masked_fill(~seen, -torch.inf)
    return (scores.softmax(dim=-1) @ wide_value).transpose(1, 2)


def states(heads: int, groups: int, length: int, width: int = 8, **kind: Any) -> list[torch.Tensor]:
    """Return random queries, keys and values, laid out in memory as a model's."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(1, length, count, width, generator=generator, **kind).transpose(1, 2).requires_grad_()
        for count in (heads, groups, groups)
    ]


@pytest.mark.parametrize(("heads", "groups"), [(9, 3), (4, 2), (3, 3), (8, 1)])
@pytest.mark.parametrize(("window", "step"), [(None, 512), (3, 512), (7, 2), (11, 512), (14, 5), (40, 512)])
@pytest.mark.parametrize("small", [0, 256])
def test_packed_attention_and_its_gradients_are_those_of_softmax_over_what_is_seen(
    heads: int, groups: int, window: int | None, step: int, small: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(packing, "_SMALL", small)
    monkeypatch.setattr(packing, "_STEP", step)
    trees = [TWO, SHORT, EMPTY, FOUR, ONE]
    row = pack(trees)
    length = row.input_ids.shape[1]
    parts = states(heads, groups, length, dtype=torch.float64)
    expected = softmax_attention(*parts, seen_of(trees, window), 0.3)
    found = packed_attention(*parts, row.blocks, 0.3, window)
    assert found.shape == (1, length, heads, 8)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    slope = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad(found, parts, slope), torch.autograd.grad(expected, parts, slope), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


# The kernels that CUDA would take


def cuda_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    enable_gqa: bool = False,
    **others: Any,
) -> str:
    """Return the kernel that CUDA's dispatcher takes, by PyTorch's rules (sdp_utils.cpp)."""
    same_heads = query.shape[1] == key.shape[1]
    assert same_heads or enable_gqa
    is_half = query.dtype in (torch.float16, torch.bfloat16)
    if is_half and attn_mask is None and query.shape[-1] == value.shape[-1] <= 256:
        return "flash"
    return "efficient" if same_heads else "math"


LONG = Tree(tuple(range(200)), (tuple(range(90)), tuple(range(60))))


@pytest.mark.parametrize("width", [8, 320])
@pytest.mark.parametrize("window", [None, 64])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_no_call_goes_to_the_math_kernel_of_cuda(
    dtype: torch.dtype,
    window: int | None,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
):
    taken = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def noted(*args: Any, **options: Any) -> torch.Tensor:
        taken.append(cuda_kernel(*args, **options))
        return attend(*args, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", noted)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    trees = [LONG, TWO, ONE]
    shapes = [(1, heads, sum(map(len, trees)), width) for heads in (4, 2, 2)]
    # Tensors without data are on no CPU, and so take the way of a GPU.
    query, key, value = (torch.empty(shape, dtype=dtype, device="meta") for shape in shapes)
    found = packed_attention(query, key, value, pack(trees, "meta").blocks, None, window)
    assert found.shape == (1, shapes[0][2], 4, width)
    assert "math" not in taken
    assert ("flash" in taken) == (dtype is torch.bfloat16 and width == 8)


@pytest.mark.parametrize("window", [None, 64])
def test_repeated_heads_change_nothing(window: int | None, monkeypatch: pytest.MonkeyPatch):
    trees = [LONG, TWO, ONE]
    parts = states(4, 2, sum(map(len, trees)), dtype=torch.float64)
    expected = packed_attention(*parts, pack(trees).blocks, None, window)
    monkeypatch.setattr(packing, "_takes_groups", lambda query, value: False)
    torch.testing.assert_close(packed_attention(*parts, pack(trees).blocks, None, window), expected)


def saved_bytes(run: Any) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, each storage once."""
    storages: dict[int, int] = {}

    def pack_hook(tensor: torch.Tensor) -> torch.Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack_hook, lambda tensor: tensor):
        kept = run()
    assert kept.requires_grad
    return sum(storages.values())


@pytest.mark.parametrize("window", [None, 128])
def test_what_is_kept_for_the_backward_pass_grows_with_the_row_and_not_with_its_square(
    window: int | None,
):
    # What CUDA's flash and memory-efficient kernels keep is what the CPU's flash kernel keeps.
    def kept(tokens: int) -> int:
        tree = Tree(tuple(range(tokens)), (tuple(range(tokens)),))
        parts = states(8, 2, len(tree), dtype=torch.float32)
        return saved_bytes(lambda: packed_attention(*parts, pack([tree]).blocks, None, window))

    assert kept(512) < 2.3 * kept(256)


def test_a_pair_keeps_less_than_a_quarter_of_what_a_mask_over_the_block_keeps_on_cuda():
    tree = Tree(tuple(range(320)), (tuple(range(160)), tuple(range(160))))
    parts = states(32, 8, len(tree), 16, dtype=torch.float32)
    mask = torch.zeros(len(tree), len(tree)).masked_fill(~seen_of([tree], None), -torch.inf)

    def masked() -> torch.Tensor:
        with sdpa_kernel(SDPBackend.MATH):
            return torch.nn.functional.scaled_dot_product_attention(*parts, mask, enable_gqa=True)

    ours = saved_bytes(lambda: packed_attention(*parts, pack([tree]).blocks))
    assert ours < saved_bytes(masked) / 4
