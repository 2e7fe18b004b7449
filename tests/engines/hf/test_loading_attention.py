"""Which attention a model is loaded with, and what is refused: by random models of each kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import EngineError
from core.records import Sampling
from engines.config import ModelConfig
from engines.hf.attention import grouped_attention
from engines.hf.decoding import DecodingBatch, DecodingRow
from engines.hf.loading import load_model
from engines.hf.self_check import require_inference
from engines.loading import locate

SHAPE: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 12}
MODELS: dict[str, tuple[str, dict[str, Any], str]] = {
    "llama": ("LlamaConfig", {}, "publius_grouped"),
    "gemma2": ("Gemma2Config", {"head_dim": 8, "attn_logit_softcapping": 2.0}, "eager"),
    "gpt_oss": ("GptOssConfig", EXPERTS, "eager"),
    "bloom": ("BloomConfig", {"n_layer": 2, "n_head": 4}, "eager"),
    "mpt": ("MptConfig", {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 512}, "eager"),
    "falcon": ("FalconConfig", {"new_decoder_architecture": True, "num_kv_heads": 2}, "sdpa"),
}
PROMPTS = [tuple(3 + (7 * i * i + 13 * n) % 250 for i in range(n)) for n in (4, 17, 9)]


def written(kind: str, more: dict[str, Any], folder: Path, tokenizer: Any) -> None:
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, kind)(**{**SHAPE, **more})
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "sinks" in name:
                weight.normal_(std=2.0)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)


@pytest.mark.parametrize("name", MODELS)
def test_answers_of_a_batch_are_those_of_eager_rows(
    name: str, tiny_tokenizer: Callable[..., Any], tmp_path: Path
):
    from transformers import AutoModelForCausalLM

    kind, more, attention = MODELS[name]
    written(kind, more, tmp_path, tiny_tokenizer)
    model: Any = load_model(locate(ModelConfig(id=str(tmp_path))), "float32", "cpu")
    assert model.config._attn_implementation == attention
    require_inference(model, name)
    rows = [DecodingRow(ids, Sampling(temperature=0.0, max_new_tokens=8), 0) for ids in PROMPTS]
    batch = DecodingBatch(model, frozenset(), lambda tokens: "")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    with torch.inference_mode():
        batch.admit(rows)
        while batch.rows:
            batch.step()
        for row in rows:
            logits = plain(torch.tensor([[*row.prompt, *row.tokens]]), use_cache=False).logits[0]
            chosen = logits[len(row.prompt) - 1 : -1]
            gaps = chosen.max(dim=-1).values - chosen[torch.arange(len(row.tokens)), row.tokens]
            assert gaps.max() < 1e-3


def test_a_model_without_a_cache_of_keys_and_values_is_refused(
    tiny_tokenizer: Callable[..., Any], tmp_path: Path
):
    more = {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1, "expand": 2}
    written("Mamba2Config", more, tmp_path, tiny_tokenizer)
    model = load_model(locate(ModelConfig(id=str(tmp_path))), "float32", "cpu")
    with pytest.raises(
        EngineError, match="mamba: Mamba2ForCausalLM gives other results in batched decoding"
    ) as caught:
        require_inference(model, "mamba")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["s_aux", "softcap"])
def test_attention_that_is_not_implemented_is_never_guessed(name: str):
    heads = torch.zeros(1, 2, 3, 4)
    with pytest.raises(ValueError, match=f"attention with {name}"):
        grouped_attention(torch.nn.Module(), heads, heads, heads, None, **{name: torch.ones(2)})
