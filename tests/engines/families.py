"""Tiny random models of several families, which differ in what their attention does."""

from __future__ import annotations

from typing import Any

from engines.hf.attention import register

WINDOW = 6
FAMILIES = ("llama", "mistral", "qwen3", "gemma2")
"""Mistral sees `WINDOW` tokens back in every layer, Gemma 2 in every other; Qwen 3 norms queries and keys."""


def tiny(family: str, attention: str = "publius_grouped", *, scores: bool = False, **config: Any) -> Any:
    """Return a two-layer model with four heads over two, in float64.

    Args:
        family: one of `FAMILIES`.
        attention: as transformers knows it.
        scores: a sequence classifier with one score in place of a language model.
        config: what differs in its config.
    """
    import torch
    import transformers

    register()
    names = {"llama": "Llama", "mistral": "Mistral", "qwen3": "Qwen3", "gemma2": "Gemma2"}
    kind = getattr(transformers, f"{names[family]}Config")
    windows: dict[str, Any] = {"sliding_window": WINDOW} if family in ("mistral", "gemma2") else {}
    if family == "gemma2":
        windows["attn_logit_softcapping"] = None  # scores are capped in eager attention alone
    defaults = {
        "vocab_size": 120,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "num_labels": 1,
    }
    task = transformers.AutoModelForSequenceClassification if scores else transformers.AutoModelForCausalLM
    torch.manual_seed(0)
    built = task.from_config(kind(**{**defaults, **windows, **config}), attn_implementation=attention)
    return built.double().eval()
