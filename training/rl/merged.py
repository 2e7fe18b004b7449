"""The policy's adapter added into the weights while answers are drawn, and taken out again exactly.

A decoding step multiplies a few rows by every weight; an adapter beside each of them is two more products and
an addition. Merged, it costs nothing. The weights as they were are kept, not computed back, so that training
goes on from the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from core.lazy import require
from training.policy import TRAIN_EXTRA

_WIDE = (torch.float32, torch.float64)
"""In narrower types the sum would round most of a young adapter away."""


@contextmanager
def merged(policy: Any) -> Iterator[None]:
    """Let the model compute with the adapter that it wears inside its weights, and restore them.

    Nothing is merged, and the adapter works as it always does, where a weight is held in a narrow type or an
    adapter is more than a sum of products on a linear layer.

    Args:
        policy: a peft model, with one adapter on.
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
    """Return whether what the layer wears is a product that can be added to its weight."""
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
    """Return the layer's weight with what it wears, in the weight's own layout."""
    weight: torch.Tensor = layer.base_layer.weight.data
    total = torch.empty_like(weight).copy_(weight)
    for name in layer.active_adapters:
        if name in layer.lora_A:
            total += layer.get_delta_weight(name)
    return total
