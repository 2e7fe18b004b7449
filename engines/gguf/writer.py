"""Write a model folder as a GGUF file, in 8-bit blocks (Q8_0) or 16-bit floats (F16).

Matrices are in the file's type; vectors (norms, biases) stay in 32 bits, as llama.cpp expects. One tensor is
in memory at a time. Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; llama.cpp rotates
neighbouring dimensions where transformers' Llama rotates halves, so its queries and keys are reordered.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError, EngineError
from core.lazy import require
from core.progress import progress
from engines.gguf.vocabulary import vocabulary_of
from engines.identity import model_files

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

GGUFType = Literal["q8_0", "f16"]
"""Types of the matrices."""
ARCHITECTURES = {"LlamaForCausalLM": "llama", "Qwen2ForCausalLM": "qwen2", "Qwen3ForCausalLM": "qwen3"}
"""llama.cpp's names of the architectures that are written."""
_EXTRA = "transformers"
_BLOCK = 32
"""Numbers of a row that share a scale in Q8_0; shorter rows stay in 16 bits."""
_LARGEST_F16 = 65504.0
_OTHERS = "python convert_hf_to_gguf.py MODEL_DIR --outtype q8_0"


class _Tensor(NamedTuple):
    """A tensor of the model, and where it goes."""

    file: Path
    source: str
    """Name in the model's file; empty for the frequencies, which are computed."""
    target: str
    shape: tuple[int, ...]
    quantization: Any
    """The type in the file."""


def gguf_type(name: str) -> GGUFType:
    """Return a type by its name. Raises ConfigError for another name."""
    known: dict[str, GGUFType] = {kind: kind for kind in get_args(GGUFType)}
    if name.lower() not in known:
        raise ConfigError(f"unknown type {name!r}", where="--gguf", accepted=", ".join(known))
    return known[name.lower()]


def write_gguf(folder: Path, tokenizer: PreTrainedTokenizerBase, to: Path, kind: GGUFType, name: str) -> None:
    """Write the model of a folder.

    Args:
        folder: a model in transformers' format, with safetensors.
        tokenizer: its tokenizer, with the chat template.
        to: the file to write.
        kind: type of the matrices.
        name: the model's name in the file.

    Raises:
        EngineError: if the architecture, its position embedding or its tokenizer is not known, or a weight
            does not fit into 16 bits.
    """
    gguf = require("gguf", _EXTRA)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architecture = _architecture(config, name)
    writer = gguf.GGUFWriter(to, architecture)
    _describe(writer, config, tokenizer, kind, name)
    tensors = list(_tensors(folder, config, architecture, kind))
    for tensor in tensors:
        writer.add_tensor_info(
            tensor.target,
            tensor.shape,
            np.dtype(np.float32),
            _bytes_of(tensor),
            raw_dtype=tensor.quantization,
        )
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        with progress("gguf", len(tensors)) as task:
            for tensor in tensors:
                values = _values(tensor, config, architecture, name)
                writer.write_tensor_data(gguf.quantize(values, tensor.quantization))
                task.advance(1)
    finally:
        writer.close()


def _architecture(config: Mapping[str, Any], name: str) -> str:
    for found in config.get("architectures") or []:
        if found in ARCHITECTURES and _rotation(config)["rope_type"] in ("default", "llama3"):
            return ARCHITECTURES[found]
    found = ", ".join(config.get("architectures") or ["of no known kind"])
    raise EngineError(
        f"{name} is {found} with positions of type {_rotation(config)['rope_type']}",
        where="--gguf",
        accepted=f"{', '.join(ARCHITECTURES)}, positions of type default or llama3; or llama.cpp's converter",
        run=_OTHERS,
    )


def _rotation(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the position embedding, from files of transformers 5 and older."""
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = found.get("rope_type") or found.get("type") or "default"
    theta = found.get("rope_theta") or config.get("rope_theta") or 10_000.0
    return {**found, "rope_type": kind, "rope_theta": float(theta)}


def _head_width(config: Mapping[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _describe(
    writer: Any, config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, kind: GGUFType, name: str
) -> None:
    """Add all that the file says about the model and its tokenizer."""
    gguf = require("gguf", _EXTRA)
    writer.add_type("model")
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{kind.upper()}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config.get("num_key_value_heads") or config["num_attention_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(_rotation(config)["rope_theta"])
    writer.add_rope_dimension_count(_head_width(config))
    writer.add_key_length(_head_width(config))
    writer.add_value_length(_head_width(config))
    writer.add_vocab_size(config["vocab_size"])
    vocabulary = vocabulary_of(tokenizer, config["vocab_size"], name)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    own: Any = tokenizer
    for number, add in (
        (own.bos_token_id, writer.add_bos_token_id),
        (own.eos_token_id, writer.add_eos_token_id),
        (own.pad_token_id, writer.add_pad_token_id),
    ):
        if number is not None:
            add(number)
    empty = own("").input_ids
    writer.add_add_bos_token(bool(empty) and empty[0] == own.bos_token_id)
    if isinstance(own.chat_template, str):
        writer.add_chat_template(own.chat_template)


def _tensors(folder: Path, config: Mapping[str, Any], architecture: str, kind: GGUFType) -> Iterator[_Tensor]:
    """Yield the tensors of a model; an output layer that is the embedding is not stored twice."""
    gguf, safetensors = require("gguf", _EXTRA), require("safetensors", _EXTRA)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], config["num_hidden_layers"])
    kinds = gguf.GGMLQuantizationType
    if _rotation(config)["rope_type"] == "llama3":
        yield _Tensor(folder, "", "rope_freqs.weight", (_head_width(config) // 2,), kinds.F32)
    tied = config.get("tie_word_embeddings", False)
    for file in model_files(folder):
        if file.suffix != ".safetensors":
            continue
        with safetensors.safe_open(file, framework="pt") as tensors:
            for source in tensors.keys():  # noqa: SIM118  a reader, not a mapping
                if source.endswith("rotary_emb.inv_freq") or (tied and source == "lm_head.weight"):
                    continue
                target = names.get_name(source, try_suffixes=(".weight", ".bias"))
                if target is None:
                    raise EngineError(
                        f"{source} has no place in a GGUF file", where=str(file), accepted="", run=_OTHERS
                    )
                shape = tuple(tensors.get_slice(source).get_shape())
                wanted = kinds.Q8_0 if kind == "q8_0" and shape[-1] % _BLOCK == 0 else kinds.F16
                yield _Tensor(file, source, target, shape, wanted if len(shape) > 1 else kinds.F32)


def _bytes_of(tensor: _Tensor) -> int:
    """Return the size of a tensor in the file."""
    gguf = require("gguf", _EXTRA)
    block, size = map(int, gguf.GGML_QUANT_SIZES[tensor.quantization])
    return math.prod(tensor.shape) // block * size


def _values(tensor: _Tensor, config: Mapping[str, Any], architecture: str, name: str) -> NDArray[np.float32]:
    """Return a tensor's values in llama.cpp's order."""
    if not tensor.source:
        return frequency_factors(_rotation(config), _head_width(config))
    safetensors = require("safetensors", _EXTRA)
    with safetensors.safe_open(tensor.file, framework="pt") as tensors:
        values: NDArray[np.float32] = tensors.get_tensor(tensor.source).float().numpy()
    if tensor.quantization.name == "F16" and np.abs(values).max() > _LARGEST_F16:
        raise EngineError(
            f"{tensor.source} of {name} has values that no 16-bit float holds",
            where="--gguf f16",
            accepted="--gguf q8_0",
        )
    if architecture == "llama" and ".self_attn." in tensor.source:
        heads = {"q_proj": config["num_attention_heads"], "k_proj": config.get("num_key_value_heads")}
        part = tensor.source.split(".self_attn.")[1].partition(".")[0]
        if part in heads:
            return interleaved(values, heads[part] or config["num_attention_heads"])
    return values


def interleaved(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Return rows (H * W, ...) of H heads with the two halves of each head's W rows in turn."""
    halves = values.reshape(heads, 2, -1, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def frequency_factors(rotation: Mapping[str, Any], width: int) -> NDArray[np.float32]:
    """Return the divisors (W / 2,) of Llama 3.1's rotation frequencies (transformers' rope type `llama3`)."""
    frequencies = rotation["rope_theta"] ** -(np.arange(0, width, 2, dtype=np.float64) / width)
    turns: NDArray[np.float64] = rotation["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    low, high = rotation["low_freq_factor"], rotation["high_freq_factor"]
    smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
    factors: NDArray[np.float64] = 1 / ((1 - smooth) / rotation["factor"] + smooth)
    return factors.astype(np.float32)
