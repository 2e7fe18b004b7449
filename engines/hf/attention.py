"""Attention without padding and without copies: for one new token, and for packed rows.

One new token: with a padding mask, the stock function repeats every key-value head once per query head on
each step: for SmolLM2 (9 heads over 3) that triples the cache before each token. Here the query heads that
share a key-value head are laid along the query axis instead, which gives the same numbers from the cache as
it is. `benchmarks/generation.py` measures the difference. Packed rows: `engines/hf/packing.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from engines.hf.packing import packed_attention

_NAME = "publius_grouped"


def register() -> str:
    """Make the function known to transformers; return the name to load a model with."""
    AttentionInterface.register(_NAME, grouped_attention)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    return _NAME


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention output (B, T, H, D) of queries (B, H, T, D) over keys and values (B, K, S, D).

    With `packed_blocks` the row is a packed one. Otherwise anything but a single new token over grouped heads
    goes to the stock function.
    """
    if (blocks := kwargs.pop("packed_blocks", None)) is not None:
        output = packed_attention(query, key, value, blocks, scaling, kwargs.get("sliding_window"))
        return output.contiguous(), None
    batch, heads, length, width = query.shape
    groups = key.shape[1]
    if length != 1 or heads == groups or kwargs.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    folded = query.view(batch, groups, heads // groups, width)
    output = torch.nn.functional.scaled_dot_product_attention(
        folded, key, value, attn_mask=attention_mask, scale=scaling
    )
    return output.reshape(batch, 1, heads, width), None
