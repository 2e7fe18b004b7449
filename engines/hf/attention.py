"""Attention functions for transformers: grouped-query decoding without copies, and packed rows.

When decoding one new token under a padding mask, transformers' own function repeats every key-value head once
per query head at each step. For SmolLM2 (9 query heads, 3 key-value heads) that triples the cache before each
token. Here the query heads that share a key-value head are folded along the query axis instead. This gives
the same numbers without copying the cache. `benchmarks/generation.py` measures the difference. For packed
rows see `engines/hf/packing.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from engines.hf.packing import packed_attention

_NAME = "publius_grouped"
_UNSUPPORTED = ("s_aux", "softcap")
"""Keywords by which models pass attention sinks (gpt-oss) and a cap on scores (Gemma 2)."""


def register() -> str:
    """Register the attention function with transformers; return its name for `attn_implementation`."""
    AttentionInterface.register(_NAME, grouped_attention)
    # Masks are looked up by the same name; without an entry transformers would build none.
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

    `packed_blocks` marks a packed row. Otherwise transformers' own function is called for anything but a
    single new token with grouped heads.

    Raises:
        ValueError: if the model asks for attention sinks or capped scores, which this function does not have,
            or a packed row needs a window that it is not told.
    """
    for name in _UNSUPPORTED:
        if kwargs.get(name) is not None:
            raise ValueError(f"attention with {name} needs attn_implementation='eager'")
    if (blocks := kwargs.pop("packed_blocks", None)) is not None:
        if "sliding_window" not in kwargs and _windows(module):
            raise ValueError("attention with a window that is in the mask only cannot be packed")
        output = packed_attention(query, key, value, blocks, scaling, kwargs.get("sliding_window"))
        return output.contiguous(), None
    batch, heads, length, width = query.shape
    groups = key.shape[1]
    if length != 1 or heads == groups or kwargs.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    # Query head h uses key-value head h // (heads // groups). The heads of a group can pose as several query
    # positions of one head, since a single new token attends to the whole cache: no causal order among them.
    folded = query.view(batch, groups, heads // groups, width)
    output = torch.nn.functional.scaled_dot_product_attention(
        folded, key, value, attn_mask=attention_mask, scale=scaling
    )
    return output.reshape(batch, 1, heads, width), None


def _windows(module: torch.nn.Module) -> bool:
    """Return True if a model has windows or chunks of attention, in some of its layers at least."""
    config = getattr(module, "config", None)
    return any(getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size"))
