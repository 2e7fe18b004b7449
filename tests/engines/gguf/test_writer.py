"""GGUF files hold the model: transformers reads them back, and its logits are those of the source."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import ConfigError, EngineError
from engines.gguf.vocabulary import vocabulary_of
from engines.gguf.writer import frequency_factors, gguf_type, interleaved, write_gguf

IDS = [[5, 60, 7, 200, 9, 41, 33, 120, 77, 8]]
SHAPE = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,
}


def written(family: str, tokenizer: Any, folder: Path, kind: Any, **changed: Any) -> tuple[Any, Path]:
    """A random model of a family, in transformers' format and as a GGUF file."""
    import transformers

    config = getattr(transformers, f"{family}Config")(**{**SHAPE, **changed})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for name, weight in model.named_parameters():
        if name.endswith("bias"):  # transformers begins with zeros, which would hide a lost bias
            weight.data.normal_(std=0.5)
    model.save_pretrained(folder)
    file = folder / "model.gguf"
    write_gguf(folder, tokenizer, file, kind, family)
    return model, file


def logprobs(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor(IDS)).logits.log_softmax(-1)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", ["Llama", "Qwen2", "Qwen3"])
def test_transformers_reads_the_model_back(family: str, tied: bool, tiny_tokenizer: Any, tmp_path: Path):
    import transformers

    tokenizer = tiny_tokenizer("{{ messages[0].content }}")
    own: dict[str, Any] = {"tie_word_embeddings": tied}
    if family == "Qwen3":
        own["head_dim"] = 128  # transformers does not read another from the file
    for kind, most in (("f16", 1e-5), ("q8_0", 1e-2)):
        model, file = written(family, tokenizer, tmp_path / kind, kind, **own)
        read = transformers.AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32
        ).eval()
        mine, theirs = logprobs(model), logprobs(read)
        kl = float((mine.exp() * (mine - theirs)).sum(-1).mean())
        assert abs(kl) <= most, kind
        assert kl != 0  # it was rounded


def test_rows_too_short_for_blocks_stay_in_16_bits(tiny_tokenizer: Any, tmp_path: Path):
    import gguf

    _, file = written("Llama", tiny_tokenizer(), tmp_path, "q8_0", hidden_size=48, intermediate_size=96)
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(file).tensors}
    assert types["blk.0.ffn_gate.weight"] == "F16"  # rows of 48
    assert types["blk.0.ffn_down.weight"] == "Q8_0"  # rows of 96
    assert types["blk.0.attn_norm.weight"] == "F32"


def test_halves_of_heads_take_turns():
    rows = np.arange(8, dtype=np.float32)[:, None] + np.zeros((1, 3), dtype=np.float32)
    assert interleaved(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_frequency_factors_are_those_of_llama_3():
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rotation = {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    config = LlamaConfig(hidden_size=128, num_attention_heads=1, head_dim=128, rope_parameters=rotation)
    expected, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 500_000.0 ** -(np.arange(0, 128, 2) / 128)
    np.testing.assert_allclose(plain / frequency_factors(rotation, 128), expected.numpy(), rtol=1e-5)


def test_tokens_have_their_types(tiny_tokenizer: Any):
    tokenizer = tiny_tokenizer(extra=("ab",))
    tokenizer.add_tokens(["<tool>"])
    found = vocabulary_of(tokenizer, 300, "tiny")
    assert found.pre == "gpt-2"
    assert (len(found.tokens), len(found.types)) == (300, 300)
    assert found.types[tokenizer.eos_token_id] == 3
    assert found.types[tokenizer.convert_tokens_to_ids("<tool>")] == 4
    assert (found.tokens[299], found.types[299]) == ("[PAD299]", 5)


def test_what_cannot_be_written_is_refused_with_the_way_out(tiny_tokenizer: Any, tmp_path: Path):
    from tokenizers import pre_tokenizers

    (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}')
    with pytest.raises(EngineError, match=r"--gguf: other is GPT2LMHeadModel .* convert_hf_to_gguf\.py"):
        write_gguf(tmp_path, tiny_tokenizer(), tmp_path / "x.gguf", "f16", "other")
    with pytest.raises(EngineError, match=r"positions of type yarn"):
        written(
            "Llama",
            tiny_tokenizer(),
            tmp_path / "yarn",
            "f16",
            rope_parameters={"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0},
        )
    odd = tiny_tokenizer()
    odd.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    with pytest.raises(EngineError, match="a tokenizer that this export does not know"):
        vocabulary_of(odd, 300, "odd")
    with pytest.raises(ConfigError, match=r"--gguf: unknown type 'q4_k'; accepted: q8_0, f16"):
        gguf_type("q4_k")
    model, _ = written("Llama", tiny_tokenizer(), tmp_path / "large", "q8_0")
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] = 1e6
    model.save_pretrained(tmp_path / "large")
    with pytest.raises(EngineError, match="has values that no 16-bit float holds"):
        write_gguf(tmp_path / "large", tiny_tokenizer(), tmp_path / "large/y.gguf", "f16", "large")
    assert math.isfinite(float(logprobs(model).sum()))
