"""Packing: several prompts with their answers in one row of tokens, without padding, each prompt once.

A preference pair is one prompt with two answers. The usual way runs the prompt twice and pads all rows to the
longest. Here all tokens form one row,

    prompt 0 | chosen 0 | rejected 0 | prompt 1 | chosen 1 | rejected 1 | ...

each answer attends to its own prompt and to itself, and its positions continue from its prompt's. The results
equal those of separate rows up to rounding; `benchmarks/pairs.py` measures the savings. (Prefix sharing for
paired preference optimization: Wang and Hegde 2024, arXiv 2410.20305.)

Shapes: `T` tokens of all prompts and answers, `N` answers, `A` tokens of all answers, `L` tokens of one
prompt with its answers, `H` query heads over `K` key-value heads of width `D`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, pairwise
from typing import Any, Protocol

import torch

from engines.trees import Tree

_SMALL = 256
"""Tokens of a block with several answers up to which one call under a mask is faster than several without."""
_FLASH_WIDTH = 256
"""Largest head width of CUDA's flash kernel."""
_STEP = 512
"""Queries computed at a time where a window is shorter than a row."""
_ATTENTION = frozenset({"full_attention", "sliding_attention", "attention"})
"""Entries of a configuration's `layer_types` that a packed row is exact for."""


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """Queries that one attention call computes, and the keys that they see."""

    queries: slice
    """Columns of the row."""
    keys: tuple[slice, ...]
    """Columns of the keys: those of the row, after those of a cache if there is one."""
    mask: torch.Tensor | None
    """(queries of all heads of a group, keys): 0 where a query attends to a key, else minus infinity; None if
    the keys are the queries' own columns, and each query attends to all up to its own."""


class PackedPart(Protocol):
    """A part of a packed row that knows the attention calls that it takes."""

    def pieces(self, window: int | None, group: int, dtype: torch.dtype) -> Sequence[AttentionCall]:
        """Return the attention calls whose outputs, one after the other, are the part's."""
        ...


@dataclass(slots=True)
class Block:
    """Place of one prompt and its answers in a packed row, and the attention calls that it takes."""

    start: int
    lengths: tuple[int, ...]
    """Number of tokens of the prompt and of each answer."""
    device: torch.device | str = "cpu"
    _pieces: dict[tuple[int | None, int, torch.dtype], list[AttentionCall]] = field(default_factory=dict)

    @property
    def span(self) -> slice:
        """Slice of the row that holds the block."""
        return slice(self.start, self.start + sum(self.lengths))

    def pieces(self, window: int | None, group: int, dtype: torch.dtype) -> list[AttentionCall]:
        """Return the attention calls whose outputs, one after the other, are the block's.

        Args:
            window: number of positions that a query attends to, including its own; None for all.
            group: number of query heads that share a key-value head.
            dtype: data type of the queries.
        """
        # Cached for all layers; some models alternate full attention and sliding windows.
        case = (window, group, dtype)
        if case not in self._pieces:
            if any(self.lengths[2:]) and sum(self.lengths) <= _SMALL:
                mask = additive_mask(self._seen(window), group, dtype, self.device)
                self._pieces[case] = [AttentionCall(self.span, (self.span,), mask)]
            else:
                self._pieces[case] = list(self._branches(*case))
        return self._pieces[case]

    def _seen(self, window: int | None) -> torch.Tensor:
        """Return True (L, L) where a query (row) attends to a key (column)."""
        branch = torch.arange(len(self.lengths)).repeat_interleave(torch.tensor(self.lengths))
        position = torch.tensor(_positions(self.lengths))
        same = (branch[None, :] == 0) | (branch[None, :] == branch[:, None])
        return same & window_mask(position, position, window)

    def _branches(self, window: int | None, group: int, dtype: torch.dtype) -> Iterator[AttentionCall]:
        """Yield the pieces of the prompt with the first answer, and of every further answer."""
        masks: dict[tuple[int, int], torch.Tensor] = {}
        for queries, keys in self._spans(window):
            if keys == (queries,):
                yield AttentionCall(queries, keys, None)
                continue
            # The last query is at the position of the last key, so that their numbers decide the mask.
            size = (_length(queries), sum(map(_length, keys)))
            if size not in masks:
                position = torch.arange(size[1])
                seen = window_mask(position[-size[0] :], position, window)
                masks[size] = additive_mask(seen, group, dtype, self.device)
            yield AttentionCall(queries, keys, masks[size])

    def _spans(self, window: int | None) -> Iterator[tuple[slice, tuple[slice, ...]]]:
        """Yield columns of queries, with those of all keys that any of them reaches, in order of position."""
        prompt, begin = self.lengths[0], self.start
        # The first answer directly follows its prompt: together they are an ordinary causal row.
        for base, length in [(0, sum(self.lengths[:2])), *((prompt, n) for n in self.lengths[2:] if n)]:
            # `base` positions before the branch are seen, `length` are computed.
            reach = min(base + length, window or base + length)
            # Where the window is shorter than the branch, queries are taken in parts: the keys and masks of a
            # long row then grow with its length, not with its square.
            step = length if reach == base + length else min(reach, _STEP)
            stops = [*range(step if base else reach, length, step), length]
            for first, last in pairwise([0, *stops]):
                lowest = max(0, base + first - reach + 1)  # position of the first key in reach
                own = slice(begin + max(0, lowest - base), begin + last)
                shared = [slice(self.start + lowest, self.start + base)] if lowest < base else []
                yield slice(begin + first, begin + last), (*shared, own)
            begin += length


def _length(span: slice) -> int:
    return int(span.stop - span.start)


def _positions(lengths: Sequence[int]) -> list[int]:
    """Return the position of each token of a prompt and its answers, which continue from the prompt."""
    prompt, *answers = lengths
    return [*range(prompt), *chain.from_iterable(range(prompt, prompt + length) for length in answers)]


def window_mask(queries: torch.Tensor, keys: torch.Tensor, window: int | None) -> torch.Tensor:
    """Return True (queries, keys) where a key's position is not after a query's, and in its window."""
    distance = queries[:, None] - keys[None, :]
    return (distance >= 0) & (distance < (len(keys) + 1 if window is None else window))


def additive_mask(
    seen: torch.Tensor, group: int, dtype: torch.dtype, device: torch.device | str
) -> torch.Tensor:
    """Return the additive mask of what each query sees, repeated for each head of a group."""
    queries, keys = seen.shape
    # CUDA's kernel wants rows that begin at multiples of 8 elements, and in each layer copies any others.
    padded = torch.zeros(group * queries, -(-keys // 8) * 8, dtype=dtype, device=device)
    mask = padded[:, :keys]
    return mask.masked_fill_(~seen.to(device).repeat(group, 1), -torch.inf)


@dataclass(frozen=True, slots=True)
class PackedRow:
    """Prompts and answers as one row, with the columns of each answer's outputs."""

    input_ids: torch.Tensor
    """(1, T)."""
    position_ids: torch.Tensor
    """(1, T)."""
    blocks: tuple[Block, ...]
    answer_ids: torch.Tensor
    """(A,) token ids of all answers."""
    predictors: torch.Tensor
    """(A,) columns whose logits predict them."""
    lengths: tuple[int, ...]
    """Length of each answer, in order of the prompts and their answers; the sum is A."""
    ends: torch.Tensor
    """(N,) column of each answer's last token; for an empty answer, of the prompt's last token."""

    def inputs(self) -> dict[str, Any]:
        """Return the model's keyword arguments; it must use the attention of `engines.hf.attention`."""
        return packed_inputs(self.input_ids, self.position_ids, self.blocks)


def packed_inputs(
    input_ids: torch.Tensor, position_ids: torch.Tensor, blocks: Sequence[PackedPart]
) -> dict[str, Any]:
    """Return the model's keyword arguments for a packed row of ids and positions, both (1, T)."""
    # transformers returns a mask of four dimensions as it is and builds none of its own. A mask of two
    # dimensions would turn packing off. The attention computes its masks from the blocks.
    placeholder = input_ids.new_zeros((1, 1, 1, 1))
    return {
        "input_ids": input_ids,
        "position_ids": position_ids,
        "attention_mask": placeholder,
        "use_cache": False,
        "packed_blocks": blocks,
    }


def attends_only(config: Any) -> bool:
    """Return False if some layer of a model mixes tokens by other means than attention.

    A gated delta net, a state-space layer or a short convolution carries its state along the whole row, from
    one answer into the next.
    """
    kinds = getattr(config.get_text_config(), "layer_types", None) or ()
    return all(kind in _ATTENTION for kind in kinds)


def pack(trees: Sequence[Tree], device: torch.device | str = "cpu") -> PackedRow:
    """Pack the prompts and their answers into one row on a device."""
    ids: list[int] = []
    positions: list[int] = []
    predictors: list[int] = []
    ends: list[int] = []
    blocks: list[Block] = []
    for tree in trees:
        start, prompt = len(ids), len(tree.prompt_ids)
        lengths = [len(answer) for answer in tree.answers]
        for first, length in zip(accumulate(lengths, initial=start + prompt), lengths, strict=False):
            # The first token of every answer is predicted at the prompt's last column, the others one column
            # before their own.
            columns = [start + prompt - 1, *range(first, first + length)]
            predictors += columns[:-1]
            ends.append(columns[-1])
        ids += [*tree.prompt_ids, *chain.from_iterable(tree.answers)]
        positions += _positions((prompt, *lengths))
        blocks.append(Block(start, (prompt, *lengths), device))
    answers = [answer for tree in trees for answer in tree.answers]
    return PackedRow(
        torch.tensor([ids], device=device),
        torch.tensor([positions], device=device),
        tuple(blocks),
        torch.tensor(list(chain.from_iterable(answers)), dtype=torch.long, device=device),
        torch.tensor(predictors, dtype=torch.long, device=device),
        tuple(map(len, answers)),
        torch.tensor(ends, dtype=torch.long, device=device),
    )


def packed_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    blocks: Sequence[PackedPart],
    scale: float | None = None,
    window: int | None = None,
) -> torch.Tensor:
    """Return the attention output (1, T, H, D) of queries (1, H, T, D) over keys and values (1, K, S, D).

    S is T, or more where the keys of a cache come before the row's. Attention weights get no dropout, even in
    training: both answers of a pair are treated alike.
    """
    group = query.shape[1] // key.shape[1]
    outputs = []
    for block in blocks:
        for piece in block.pieces(window, group, query.dtype):
            keys, values = (_columns(states, piece.keys) for states in (key, value))
            outputs.append(_attend(query[:, :, piece.queries], keys, values, piece.mask, scale))
    return torch.cat(outputs, dim=2).transpose(1, 2)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float | None,
) -> torch.Tensor:
    """Return the attention output (1, H, L, D) of a piece, by a kernel that stores no attention weights.

    On CUDA the flash kernel takes no mask and only half precision, the memory-efficient kernel no groups of
    heads; what neither takes goes to the math kernel, which keeps (H, L, L) in float32 for the backward pass.
    (PyTorch, aten/src/ATen/native/transformers/cuda/sdp_utils.cpp, `can_use_flash_attention` and
    `can_use_mem_efficient_attention`.)
    """
    attend = torch.nn.functional.scaled_dot_product_attention
    groups = key.shape[1]
    if mask is None:
        is_grouped = query.shape[1] != groups
        if is_grouped and not _takes_groups(query, value):
            key, value = (s.repeat_interleave(query.shape[1] // groups, dim=1) for s in (key, value))
            is_grouped = False
        return attend(query, key, value, is_causal=True, scale=scale, enable_gqa=is_grouped)
    # Query head h uses key-value head h // (H / K). The mask is repeated for each head of a group, so that
    # they can pose as further queries of one head.
    folded = query.reshape(1, groups, -1, query.shape[3])
    output: torch.Tensor = attend(folded, key, value, attn_mask=mask, scale=scale)
    return output.reshape(*query.shape[:3], -1)


def _takes_groups(query: torch.Tensor, value: torch.Tensor) -> bool:
    """Return True if a kernel without a mask takes fewer key-value heads than query heads."""
    if query.device.type == "cpu":
        return True
    # The flash kernel needs Ampere or newer; on older GPUs (T4, V100) only the math kernel would be left.
    has_flash = torch.cuda.get_device_capability(query.device) >= (8, 0)
    is_half = query.dtype in (torch.float16, torch.bfloat16)
    return has_flash and is_half and query.shape[-1] == value.shape[-1] <= _FLASH_WIDTH


def _columns(states: torch.Tensor, spans: tuple[slice, ...]) -> torch.Tensor:
    """Return the states (1, K, L, D) of some columns of a row (1, K, T, D)."""
    parts = [states[:, :, span] for span in spans]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
