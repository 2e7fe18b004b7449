"""Several prompts with their answers in one row of tokens: no padding, and each prompt once.

A preference pair is one prompt with two answers. Where the stock way runs the prompt twice and pads all rows
to the longest, here the tokens stand one behind the other,

    prompt 0 | chosen 0 | rejected 0 | prompt 1 | chosen 1 | rejected 1 | ...

each answer attends to its own prompt and itself, and its positions go on from its prompt's. The numbers are
those of separate rows up to rounding; `benchmarks/pairs.py` measures what it saves. (Prefix sharing for
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


@dataclass(slots=True)
class Block:
    """Where one prompt and its answers stand in the row, and what may attend to what there."""

    start: int
    branch: torch.Tensor
    """(L,) 0 for the prompt, 1 for the first answer, and so on."""
    position: torch.Tensor
    """(L,) as the model counts them: answers go on from the prompt."""
    _masks: dict[tuple[int | None, torch.dtype], torch.Tensor] = field(default_factory=dict)

    @property
    def span(self) -> slice:
        """The block's place in the row."""
        return slice(self.start, self.start + len(self.branch))

    def mask(self, window: int | None, dtype: torch.dtype) -> torch.Tensor:
        """Return (L, L), 0 where a query (row) may attend to a key (column), else minus infinity.

        Args:
            window: a query sees so many positions back, itself included; None sees all.
            dtype: that of the queries.
        """
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
    """Prompts and answers as one row, and where to read what the model says of each answer."""

    input_ids: torch.Tensor
    """(1, T)."""
    position_ids: torch.Tensor
    """(1, T)."""
    blocks: tuple[Block, ...]
    answer_ids: torch.Tensor
    """(A,) the tokens of all answers."""
    predictors: torch.Tensor
    """(A,) the column whose logits predict each of them."""
    lengths: tuple[int, ...]
    """Of each answer, in order: first those of the first prompt. They sum to A."""
    ends: torch.Tensor
    """(N,) the column of each answer's last token; of the prompt's, where an answer is empty."""

    def inputs(self) -> dict[str, Any]:
        """Return what the model is called with; it must have been loaded with `engines.hf.attention`."""
        # A mask of four dimensions is passed through by transformers as it is: none is built, and the
        # attention makes its own from the blocks.
        placeholder = self.input_ids.new_zeros((1, 1, 1, 1))
        return {
            "input_ids": self.input_ids,
            "position_ids": self.position_ids,
            "attention_mask": placeholder,
            "use_cache": False,
            "packed_blocks": self.blocks,
        }


def pack(trees: Sequence[Tree], device: torch.device | str = "cpu") -> PackedRow:
    """Return the prompts and their answers as one row on a device."""
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

    Without dropout on attention weights, also in training: both answers of a pair are to be judged alike.
    """
    grouped = query.shape[1] != key.shape[1]
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
