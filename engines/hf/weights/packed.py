"""Weights of linear layers packed once by oneDNN, for inference on a CPU.

A kernel for matrix products reads its weight in blocks. torch brings a plain weight into that order again for
every product; a packed weight is stored in it. In float32 the kernels are others too: torch multiplies plain
weights by MKL, which uses AVX-512 on Intel's processors only, and packed ones by oneDNN, which uses it on
AMD's as well (measurements: docs/benchmarks.md, "Packed weights").
"""

from __future__ import annotations

from typing import Any, cast

import torch

from core.machine import available_memory_gib, processor_vendor
from core.notices import counted, note
from engines.hf.weights.decoder import decoder_linears

PACKED_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-6}
"""Largest difference of a packed weight's products from the plain weight's, relative to the largest product.
Types without an entry are not packed."""
_PROBE_ROWS = 8
_HEAD_SHARE = 0.125
"""Largest share of the free memory that a packed copy of a tied output head may take."""


class PackedLinear(torch.nn.Module):
    """A linear layer whose weight exists in oneDNN's order only. It has no gradient and no entry in a state.

    Args:
        linear: a plain layer in float32 or bfloat16.
    """

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        # No parameter: an opaque tensor can be neither cloned nor saved.
        self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().contiguous(), None)

    @property
    def weight(self) -> torch.Tensor:
        """A plain copy of the weight (out, in), for code that reads it without calling the layer."""
        return cast(torch.Tensor, self._packed.to_dense())

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return the products (..., out) of states (..., in)."""
        product = torch.ops.mkldnn._linear_pointwise(states, self._packed, self.bias, "none", [], "")
        return cast(torch.Tensor, product)


def should_pack(wanted: bool | None) -> bool:
    """Return True if weights should be packed on this processor.

    Args:
        wanted: the user's choice; None to pack where it was measured to be faster, on AMD processors with
            AVX-512.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        if wanted:
            note("engine.pack_weights: this torch has no oneDNN; weights are not packed")
        return False
    if wanted is not None:
        return wanted
    has_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return has_avx512 and processor_vendor() == "AuthenticAMD"


def pack_linears(model: Any) -> None:
    """Replace the plain linear layers of a model's decoder stack and its output head by packed ones.

    Each is replaced before the next is packed, so that memory holds one weight twice at a time. An output
    head that is tied to the input embeddings is packed beside them, if memory allows it. Layers whose packed
    products differ from the plain ones stay as they are.

    Args:
        model: a causal language model in evaluation mode on a CPU; adapters may be attached.
    """
    different = 0
    for name in [*_head(model), *decoder_linears(model)]:
        module = model.get_submodule(name)
        if hasattr(module, "base_layer"):  # an adapter that is not merged
            name, module = f"{name}.base_layer", module.base_layer
        if type(module) is not torch.nn.Linear or not _can_pack(module.weight.dtype):
            continue  # quantized subclasses store weights in other forms
        packed = PackedLinear(module)
        if _is_equal(packed, module):
            model.set_submodule(name, packed)
        else:
            different += 1
    if different:
        note(f"{counted(different, 'weight')} not packed: the products differ from the plain weight's")


def _head(model: Any) -> list[str]:
    """Return the name of the output head; empty if its packed copy does not fit."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    is_tied = head is not None and getattr(embeddings, "weight", None) is head.weight
    if is_tied and not _fits(head.weight):
        note("too little free memory to pack the output head, which is tied to the input embeddings")
        return []
    return [name for name, module in model.named_modules() if module is head]


def _can_pack(dtype: torch.dtype) -> bool:
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype in PACKED_TOLERANCE


def _fits(weight: torch.Tensor) -> bool:
    size = weight.numel() * weight.element_size()
    return size <= _HEAD_SHARE * available_memory_gib() * 2**30


@torch.inference_mode()
def _is_equal(packed: PackedLinear, plain: torch.nn.Linear) -> bool:
    """Return True if a packed layer gives the products of the plain one up to rounding."""
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(_PROBE_ROWS, plain.in_features, generator=generator).to(plain.weight.dtype)
    expected, found = plain(probe).float(), packed(probe).float()
    apart, size = (found - expected).abs().max(), expected.abs().max()
    return bool(apart <= PACKED_TOLERANCE[plain.weight.dtype] * size)
