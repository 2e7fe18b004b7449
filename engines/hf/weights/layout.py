"""Memory layout of weights for decoding on a CPU.

A linear layer stores its weight (out, in) in row-major order. For the few rows of a decoding step, the matrix
product is faster if the weight is stored in column-major order, most of all on one thread. For the many rows
of a training step it makes no difference (measurements: docs/log.md, "what makes a PPO step fast").
"""

from __future__ import annotations

import torch


def lay_out_by_columns(model: torch.nn.Module) -> None:
    """Store the weight of each plain linear layer in column-major order, without changing values or shapes.

    A weight is then the transpose of a contiguous matrix. If it is tied to the input embeddings, these get
    the same layout. The model can compute but cannot be saved whole, since transformers' `save_pretrained`
    refuses tied weights in this layout. Adapters can be saved as usual.
    """
    copied: set[int] = set()
    for module in model.modules():
        if type(module) is torch.nn.Linear:  # quantized subclasses store weights in other forms
            module.weight.data = module.weight.data.t().contiguous().t()
            copied.add(id(module.weight))
    for tensor in (*model.parameters(), *model.buffers()):
        # Weights of the file's own type are views of the mapped file. A single one that is left would keep
        # all pages of the file in memory, next to the copies.
        if id(tensor) not in copied and type(tensor) in (torch.nn.Parameter, torch.Tensor):
            tensor.data = tensor.data.clone()
