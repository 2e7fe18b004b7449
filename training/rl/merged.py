"""Merging the policy's adapter into the weights while answers are drawn.

A decoding step multiplies a few rows by every weight; an unmerged adapter adds two products and a sum to
each. Merged, it costs nothing. The original weights are saved, not computed back: training continues from the
same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from core.lazy import require
from training.policy import TRAIN_EXTRA

_WIDE = (torch.float32, torch.float64)
"""In narrower types, rounding the sum would lose most of an adapter that has trained for few steps."""


@contextmanager
def merged(policy: Any) -> Iterator[None]:
    """Merge the attached adapter into the model's weights for the block, and restore them after it.

    Does nothing if a weight is narrower than float32, or the adapter is not plain LoRA on linear layers: the
    adapter then works unmerged.

    Args:
        policy: a peft model with one adapter attached.
    """
    layers = _layers(policy)
    if not all(_is_sum(layer) for layer in layers):
        yield
        return
    kept = [layer.base_layer.weight.data for layer in layers]
    try:
        with torch.no_grad():
            for layer in layers:
                layer.base_layer.weight.data = _sum(layer)
        with policy.disable_adapter():
            yield
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            layer.base_layer.weight.data = weight


def _layers(policy: Any) -> list[Any]:
    """Return the layers that have an adapter."""
    tuners: Any = require("peft", TRAIN_EXTRA).tuners
    return [module for module in policy.modules() if isinstance(module, tuners.lora.LoraLayer)]


def _is_sum(layer: Any) -> bool:
    """Return whether the layer's adapter is a plain product that can be added to its weight."""
    linear: Any = require("peft", TRAIN_EXTRA).tuners.lora.Linear
    return (
        type(layer) is linear
        and type(layer.base_layer) is torch.nn.Linear
        and layer.base_layer.weight.dtype in _WIDE
        and not layer.merged
        and not any(layer.lora_bias.values())
        and not layer.lora_variant
    )


def _sum(layer: Any) -> torch.Tensor:
    """Return the sum of the layer's weight and its adapter's product, in the weight's memory layout."""
    weight: torch.Tensor = layer.base_layer.weight.data
    total = torch.empty_like(weight).copy_(weight)
    for name in layer.active_adapters:
        if name in layer.lora_A:
            total += layer.get_delta_weight(name)
    return total
