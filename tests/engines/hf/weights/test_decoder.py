"""The linear modules of the decoder stack, on architectures with towers, routers and Mamba layers."""

from __future__ import annotations

from typing import Any

import pytest

from engines.hf.weights.decoder import decoder_linears, expert_weights, freeze_towers

SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
MLP = {"gate_proj", "up_proj", "down_proj"}
DELTA = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
CASES = {
    "Qwen3": ({}, ATTENTION | MLP),
    "GPT2": ({"n_embd": 32, "n_layer": 2, "n_head": 4}, {"c_attn", "c_proj", "c_fc"}),
    "GraniteMoe": (EXPERTS, ATTENTION),
    "GptOss": ({**EXPERTS, "head_dim": 8}, ATTENTION),
    "Mixtral": (EXPERTS, ATTENTION),
    "Llama4Text": (
        {"head_dim": 8, "intermediate_size_mlp": 48, "num_local_experts": 2, "interleave_moe_layer_step": 2},
        ATTENTION,
    ),
    "Qwen3Moe": ({"head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2}, ATTENTION),
    "Qwen3Next": (
        {**DELTA, "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2},
        ATTENTION | {"in_proj_qkvz", "in_proj_ba", "out_proj"},
    ),
    "Mamba2": ({"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1}, {"in_proj"}),
}


def built(family: str, config: dict[str, Any]) -> Any:
    """A model without memory for its weights."""
    import torch
    import transformers

    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(
            getattr(transformers, f"{family}Config")(**{**SHAPE, **config})
        )


def leaves(names: list[str]) -> set[str]:
    return {name.rpartition(".")[2] for name in names}


def gemma3_with_vision() -> Any:
    import torch
    import transformers

    text = transformers.Gemma3TextConfig(**SHAPE, head_dim=8)
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.Gemma3Config(text_config=text.to_dict(), vision_config=vision)
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("family", CASES)
def test_linear_modules_of_the_decoder_are_found_without_routers_and_heads(family: str):
    config, expected = CASES[family]
    found = decoder_linears(built(family, config))
    assert leaves(found) == expected
    assert not [name for name in found if "router" in name or name.endswith((".gate", "_gate", "lm_head"))]


def test_vision_tower_is_neither_adapted_nor_trained():
    model = gemma3_with_vision()
    found = decoder_linears(model)
    assert leaves(found) == ATTENTION | MLP
    assert all(name.startswith("model.language_model.") for name in found)
    freeze_towers(model)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert not [name for name in trained if "vision" in name or "projector" in name]
    assert {name for name, _ in model.named_parameters() if "language_model" in name} <= trained


def adapted(model: Any, targets: str | list[str]) -> set[str]:
    """The modules that peft adapts, in place."""
    import peft

    shape = peft.LoraConfig(r=2, target_modules=targets, task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, shape).get_base_model()
    return {name for name, module in model.named_modules() if hasattr(module, "lora_A")}


@pytest.mark.parametrize("family", ["Qwen3", "GPT2"])
def test_choice_is_that_of_peft_where_there_is_nothing_to_leave_out(family: str):
    model = built(family, CASES[family][0])
    ours = decoder_linears(model)
    assert set(ours) == adapted(model, "all-linear")
    assert decoder_linears(model) == ours  # a second adapter gets the same modules


@pytest.mark.parametrize("family", ["Mixtral", "Qwen3Moe", "Qwen3Next", "Llama4Text"])
def test_peft_adapts_what_is_named_and_no_router(family: str):
    model = built(family, CASES[family][0])
    named = decoder_linears(model)
    assert adapted(model, named) == set(named)
    # What the project leaves out, peft would adapt.
    routers = [name for name in adapted(built(family, CASES[family][0]), "all-linear") if _routes(name)]
    assert routers
    assert not [name for name in named if _routes(name)]


def _routes(name: str) -> bool:
    return name.endswith((".gate", ".router"))


def test_weights_of_experts_are_named():
    assert expert_weights(built("Qwen3", {})) == []
    named = expert_weights(built("GptOss", CASES["GptOss"][0]))
    assert leaves(named) >= {"gate_up_proj", "down_proj"}
