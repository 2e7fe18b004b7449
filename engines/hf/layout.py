"""Weights laid out for decoding on a CPU.

A linear layer holds its weight (out, in) row by row. For the few rows of a decoding step the product reads it
faster where it lies column by column, most on one thread; for the many rows of a training step it makes no
difference (figures: docs/log.md, "what makes a PPO step fast").
"""

from __future__ import annotations

import torch


def lay_out_by_columns(model: torch.nn.Module) -> None:
    """Give the weight of each plain linear layer the layout that decoding reads fastest; values stay.

    Shapes stay too: a weight is then the transpose of a contiguous matrix. A weight that is tied to the input
    embeddings takes them with it. Such a model is to compute with, and not to be written whole: transformers'
    `save_pretrained` refuses tied weights that are laid out so. Adapters are written as ever.
    """
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.weight.data = module.weight.data.t().contiguous().t()
