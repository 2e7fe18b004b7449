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

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import Any

import torch

from engines.trees import Tree

_ATTENTION = frozenset({"full_attention", "sliding_attention", "attention"})
"""Entries of a configuration's `layer_types` that a packed row is exact for."""


@dataclass(slots=True)
class Block:
    """Place of one prompt and its answers in a packed row, and their attention mask."""

    start: int
    branch: torch.Tensor
    """(L,) 0 for the prompt, 1 for the first answer, 2 for the second, ..."""
    position: torch.Tensor
    """(L,) position ids: answers continue from the prompt."""
    _masks: dict[tuple[int | None, torch.dtype], torch.Tensor] = field(default_factory=dict)

    @property
    def span(self) -> slice:
        """Slice of the row that holds the block."""
        return slice(self.start, self.start + len(self.branch))

    def mask(self, window: int | None, dtype: torch.dtype) -> torch.Tensor:
        """Return (L, L): 0 where a query (row) may attend to a key (column), else minus infinity.

        Args:
            window: number of positions that a query attends to, including its own; None for all.
            dtype: data type of the queries.
        """
        # Cached for all layers; some models alternate full attention and sliding windows.
        if (window, dtype) not in self._masks:
            distance = self.position[:, None] - self.position[None, :]
            same = (self.branch[None, :] == 0) | (self.branch[None, :] == self.branch[:, None])
            seen = same & (distance >= 0)
            if window is not None:
                seen &= distance < window
            mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
            self._masks[window, dtype] = mask.masked_fill_(~seen, -torch.inf)
        return self._masks[window, dtype]


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
        # transformers returns a mask of four dimensions as it is and builds none of its own. A mask of two
        # dimensions would turn packing off. The attention computes its masks from the blocks.
        placeholder = self.input_ids.new_zeros((1, 1, 1, 1))
        return {
            "input_ids": self.input_ids,
            "position_ids": self.position_ids,
            "attention_mask": placeholder,
            "use_cache": False,
            "packed_blocks": self.blocks,
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
        local = [*range(prompt), *chain.from_iterable(range(prompt, prompt + n) for n in lengths)]
        for first, length in zip(accumulate(lengths, initial=start + prompt), lengths, strict=False):
            # The first token of every answer is predicted at the prompt's last column, the others one column
            # before their own.
            columns = [start + prompt - 1, *range(first, first + length)]
            predictors += columns[:-1]
            ends.append(columns[-1])
        ids += [*tree.prompt_ids, *chain.from_iterable(tree.answers)]
        positions += local
        counts = torch.tensor([prompt, *lengths], device=device)
        branch = torch.arange(len(counts), device=device).repeat_interleave(counts)
        blocks.append(Block(start, branch, torch.tensor(local, device=device)))
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
    blocks: Sequence[Block],
    scale: float | None = None,
    window: int | None = None,
) -> torch.Tensor:
    """Return the attention output (1, T, H, D) of queries (1, H, T, D) over keys and values (1, K, T, D).

    Attention weights get no dropout, even in training: both answers of a pair are treated alike.
    """
    grouped = query.shape[1] != key.shape[1]
    # One call per block: a single mask over the whole row would cost the square of the row's length.
    outputs = [
        torch.nn.functional.scaled_dot_product_attention(
            query[:, :, block.span],
            key[:, :, block.span],
            value[:, :, block.span],
            attn_mask=block.mask(window, query.dtype),
            scale=scale,
            enable_gqa=grouped,
        )
        for block in blocks
    ]
    return torch.cat(outputs, dim=2).transpose(1, 2)
