"""Tiny random models of many architectures: two layers of width 32, with weights so wide that errors show."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

WINDOW = 12
"""Tokens of a sliding window, far fewer than the rows have."""
SHAPE: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_MIXED = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
_HEADS = {"head_dim": 8}
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_QWEN_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_SHARED_EXPERT = {"shared_expert_intermediate_size": 24}
_DELTA_NET: dict[str, Any] = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
_LATENT: dict[str, Any] = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
_ROUTED: dict[str, Any] = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 24,
    "first_k_dense_replace": 1,
    "n_shared_experts": 1,
}
_MAMBA_2: dict[str, Any] = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_expand": 2,
    "mamba_chunk_size": 8,
}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", {}),
    "qwen2": ("Qwen2Config", {}),
    "qwen2, window": (
        "Qwen2Config",
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3Config", _HEADS),
    "qwen3_moe": ("Qwen3MoeConfig", _HEADS | _QWEN_EXPERTS | {"decoder_sparse_step": 1}),
    "qwen3_5": ("Qwen3_5TextConfig", _HEADS | _DELTA_NET),
    "qwen3_next": ("Qwen3NextConfig", _HEADS | _DELTA_NET | _QWEN_EXPERTS | _SHARED_EXPERT),
    "mistral": ("MistralConfig", _HEADS | {"sliding_window": WINDOW}),
    "ministral3": ("Ministral3Config", _HEADS),
    "mixtral": ("MixtralConfig", _EXPERTS),
    "gemma": ("GemmaConfig", _HEADS),
    "gemma2": ("Gemma2Config", _HEADS | _MIXED | {"query_pre_attn_scalar": 8}),
    "gemma2, caps of 2": (
        "Gemma2Config",
        _HEADS | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 2.0, "sliding_window": WINDOW},
    ),
    "gemma3_text": ("Gemma3TextConfig", _HEADS | _MIXED | {"query_pre_attn_scalar": 8}),
    "gemma3, vision": ("Gemma3Config", {}),
    "gemma4_text": ("Gemma4TextConfig", _HEADS | _MIXED),
    "phi": ("PhiConfig", {"partial_rotary_factor": 0.5}),
    "phi3": ("Phi3Config", {}),
    "phi3, window": ("Phi3Config", {"sliding_window": WINDOW}),
    "olmo2": ("Olmo2Config", {}),
    "olmo3": ("Olmo3Config", _MIXED),
    "olmoe": ("OlmoeConfig", {"num_experts": 4, "num_experts_per_tok": 2}),
    "granite": ("GraniteConfig", {"logits_scaling": 3.0, "attention_multiplier": 0.3}),
    "granitemoe": ("GraniteMoeConfig", _EXPERTS | {"logits_scaling": 3.0}),
    "granitemoehybrid": (
        "GraniteMoeHybridConfig",
        _MAMBA_2
        | {
            "layer_types": ["mamba", "attention"],
            "num_local_experts": 0,
            "shared_intermediate_size": 48,
            "logits_scaling": 3.0,
        },
    ),
    "smollm3": ("SmolLM3Config", {"no_rope_layers": [1, 0]}),
    "glm4": ("Glm4Config", _HEADS),
    "glm4_moe": ("Glm4MoeConfig", _HEADS | _ROUTED),
    "gpt_oss": ("GptOssConfig", _HEADS | _EXPERTS | _MIXED),
    "deepseek_v3": ("DeepseekV3Config", _LATENT | _ROUTED),
    "exaone4": ("Exaone4Config", _MIXED),
    "cohere": ("CohereConfig", {"logit_scale": 0.25}),
    "cohere2": ("Cohere2Config", _HEADS | _MIXED | {"logit_scale": 0.25}),
    "nemotron": ("NemotronConfig", {}),
    "ernie4_5": ("Ernie4_5Config", _HEADS),
    "seed_oss": ("SeedOssConfig", _HEADS),
    "apertus": ("ApertusConfig", {}),
    "arcee": ("ArceeConfig", {}),
    "hunyuan_v1_dense": ("HunYuanDenseV1Config", _HEADS),
    "minimax_m2": ("MiniMaxM2Config", _HEADS | _EXPERTS),
    "llama4_text": (
        "Llama4TextConfig",
        _HEADS
        | {
            "intermediate_size_mlp": 48,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "attention_chunk_size": WINDOW,
            "interleave_moe_layer_step": 2,
        },
    ),
    "lfm2": ("Lfm2Config", {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8}),
    "falcon_h1": ("FalconH1Config", _MAMBA_2 | {"mamba_d_ssm": 64}),
    "mamba2": (
        "Mamba2Config",
        {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1, "expand": 2},
    ),
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}),
    "gpt_neox": ("GPTNeoXConfig", {}),
    "opt": ("OPTConfig", {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "bloom": ("BloomConfig", {"n_layer": 2, "n_head": 4}),
    "mpt": ("MptConfig", {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 512}),
    "falcon": ("FalconConfig", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "stablelm": ("StableLmConfig", {}),
    "starcoder2": ("Starcoder2Config", {"sliding_window": WINDOW}),
}
"""Name of the configuration class, and what it takes beyond `SHAPE`."""


def write_model(name: str, folder: Path, tokenizer: Any) -> None:
    """Write a random model of an architecture, with a tokenizer, to a folder."""
    import torch
    import transformers

    config = _config(name)
    torch.manual_seed(0)
    if isinstance(config, transformers.Gemma3Config):
        model: Any = transformers.Gemma3ForConditionalGeneration(config)
    else:
        model = transformers.AutoModelForCausalLM.from_config(config)
    widen(model)
    model.generation_config = transformers.GenerationConfig(eos_token_id=2, pad_token_id=0)
    model.float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def widen(model: Any) -> None:
    """Draw the weights anew, wider than families initialise them; norms stay near 1."""
    import torch

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() >= 2:
                std = (3.0 if "embed" in name else 2.0) / math.sqrt(weight.shape[-1])
            elif "sinks" in name:
                std = 2.0
            elif "bias" in name:
                std = 0.2
            else:
                continue
            weight.copy_(std * torch.randn(weight.shape, generator=generator))


def _config(name: str) -> Any:
    import transformers

    kind, more = ARCHITECTURES[name]
    if kind != "Gemma3Config":
        return getattr(transformers, kind)(**{**SHAPE, **more})
    return transformers.Gemma3Config(
        text_config=_config("gemma3_text").to_dict(),
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        mm_tokens_per_image=4,
        image_token_index=290,
        boi_token_index=291,
        eoi_token_index=292,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
