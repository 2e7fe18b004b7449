"""The decoder stack of a language model: the part that training changes.

Models with vision or audio have towers beside it, which see no input in training on text and stay frozen.
Mixtures of experts have routers inside it, which adapters leave alone: tokens would be sent elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.lazy import require

_EXTRA = "transformers"
_EXPERTS = "experts"
_EXPERT_DIMENSIONS = 3
_MLP = ("gate_proj", "up_proj", "down_proj", "gate_up_proj", "w1", "w2", "w3")
_MAMBA = ("A_log", "D")
"""Parameters of a Mamba layer; gated delta nets, which call their output projection, have no `D`."""


def decoder_linears(model: Any) -> list[str]:
    """Return the names of the linear modules of a model's decoder stack.

    Not among them: towers for images or audio with their projectors, the output head or score head, routers,
    gates with a single output, and the output projection of Mamba layers, which their kernels read without
    calling the module. In a mixture of experts no MLP is: peft would take its name for that of the experts'
    weights and adapt all of them. A module that has an adapter counts as the linear module inside it.

    Args:
        model: a transformers model, possibly with adapters in its modules.
    """
    torch, transformers = require("torch", _EXTRA), require("transformers", _EXTRA)
    kinds = (torch.nn.Linear, transformers.pytorch_utils.Conv1D)  # GPT-2 has `Conv1D`
    heads = [model.get_output_embeddings(), getattr(model, "score", None)]
    modules = dict(_decoder_modules(model))
    is_mixture = bool(expert_weights(model))
    found = []
    for name, module in modules.items():
        parent, _, leaf = name.rpartition(".")
        linear = getattr(module, "base_layer", module)
        if not isinstance(linear, kinds) or any(module is head for head in heads):
            continue
        is_inside_adapter = any(hasattr(modules.get(above), "base_layer") for above in _above(name))
        is_mamba = leaf == "out_proj" and all(hasattr(modules.get(parent), part) for part in _MAMBA)
        is_gate = getattr(linear, "out_features", None) == 1
        is_expert = is_mixture and leaf in _MLP
        if not (is_inside_adapter or is_mamba or is_gate or is_expert or _is_router(name)):
            found.append(name)
    return found


def expert_weights(model: Any) -> list[str]:
    """Return the names of the experts' weights that are not linear modules, which LoRA does not adapt."""
    names = [name for name, weight in model.named_parameters() if weight.dim() == _EXPERT_DIMENSIONS]
    return [name for name in names if _EXPERTS in name.split(".")]


def freeze_towers(model: Any) -> None:
    """Freeze what is beside the decoder stack and the heads, such as a vision tower."""
    trained = {id(weight) for _, module in _decoder_modules(model) for weight in module.parameters()}
    for head in (model.get_input_embeddings(), model.get_output_embeddings(), getattr(model, "score", None)):
        trained |= {id(weight) for weight in head.parameters()} if head is not None else set()
    for weight in model.parameters():
        weight.requires_grad_(id(weight) in trained)


def _decoder_modules(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the modules of the decoder stack with their names in the model."""
    decoder = model.get_decoder()
    # Some models return themselves, or have no decoder apart from their encoder: all of it is trained then.
    names = {id(module): name for name, module in model.named_modules()}
    start = names.get(id(decoder), "")
    for name, module in model.named_modules():
        if not start or name == start or name.startswith(f"{start}."):
            yield name, module


def _above(name: str) -> Iterator[str]:
    """Yield the names of the modules that hold a module."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _is_router(name: str) -> bool:
    return any(part == "gate" or "router" in part for part in name.split("."))
