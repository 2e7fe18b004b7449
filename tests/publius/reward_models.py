"""A reward model without a training: a tiny random sequence classifier that speaks ChatML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engines.reward_settings import RewardSettings, write_reward_settings
from engines.tokenization import CHATML


def write_reward_model(folder: Path, tiny_tokenizer: Any, settings: RewardSettings | None = None) -> Path:
    """Write a tiny random reward model; return its folder.

    Args:
        folder: where it is written.
        tiny_tokenizer: the fixture of this name.
        settings: written as `reward.json`; None for a sequence classifier as any on the hub.
    """
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(0)
    sizes = {"vocab_size": 320, "hidden_size": 16, "intermediate_size": 16, "max_position_embeddings": 2048}
    config = LlamaConfig(**sizes, num_hidden_layers=1, num_attention_heads=2, num_labels=1)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tiny_tokenizer(CHATML, pad_token=None).save_pretrained(folder)
    if settings is not None:
        write_reward_settings(folder, settings)
    return folder
