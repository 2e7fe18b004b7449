"""Load the weights of causal language models and reward models with transformers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.errors import EngineError
from core.lazy import require
from core.libraries import load_errors, quiet_transformers
from engines.adapter import attach_adapter
from engines.hf.weights.score_layer import classifier_class
from engines.loading import ACCEPTED_MODELS, ModelFiles, pick_device

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_EXTRA = "transformers"
NF4_EXTRA = "nf4"
_EAGER = "eager"
_SCORE = "score.weight"
_UNQUANTIZED = ("lm_head", "embed_out", "score", r".*router", r".*\.gate", r".*_gate")
"""Patterns of the modules that keep their data type in a quantized model."""
_ATTENTION = (r".*attn", r".*attention")
_NARROW = 2048
"""Width below which the attention of a quantized model keeps its data type: models of about 1B and less."""
_DROPOUT = ("dropout", "pdrop", "layerdrop")
"""Parts of the names of dropout probabilities in configurations, as in `attention_dropout`, `resid_pdrop`."""


def load_model(
    files: ModelFiles,
    dtype: str,
    device: str,
    *,
    device_map: Literal["single", "auto"] = "single",
    for_training: bool = False,
    pack_weights: bool = False,
) -> PreTrainedModel:
    """Return the model on its device in evaluation mode, with its adapter.

    In float32, the adapter is merged into the weights. In 16 or 4 bits it stays beside them, in float32:
    rounding to the weights would lose most of an adapter after a short training.

    Args:
        files: the model on disk.
        dtype: `float32`, `bfloat16` or `float16`.
        device: `auto`, `cpu` or `cuda`.
        device_map: `auto` to spread the layers over all GPUs.
        for_training: True to set the model's own dropout to 0 (`config_without_dropout`), and to merge an
            adapter in every data type, since training adds one of its own.
        pack_weights: True to pack the weights of linear layers on a CPU, for inference alone
            (`engines.hf.weights.packed`).

    Raises:
        EngineError: if the model or its adapter cannot be loaded, or the adapter is to be merged into
            quantized weights.
        MissingExtraError: if the model is to be quantized and bitsandbytes is not installed.
    """
    transformers = require("transformers", _EXTRA)
    place = pick_device(device)
    options = _options(files, dtype, place)
    if device_map == "auto" and place != "cpu":
        options["device_map"] = "auto"
    transformers.utils.logging.disable_progress_bar()
    with load_errors("model", files.folder, ACCEPTED_MODELS):
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            files.folder,
            config=config_without_dropout(files.folder) if for_training else None,
            attn_implementation=_attention(files, place == "cpu"),
            **options,
        )
    if files.adapter is not None:
        attached = attach_adapter(model, files.adapter)
        if for_training and files.quantization is not None:
            raise EngineError(
                f"an adapter cannot be merged into weights in {files.quantization} for training",
                where=str(files.adapter),
                accepted="a model without an adapter; merge the adapter first (publius export --model)",
            )
        if for_training or (files.quantization is None and merges_adapter(dtype)):
            # Merged, the adapter costs nothing in a decoding step (docs/log.md measures the difference).
            model = attached.merge_and_unload()
        else:
            model = attached.get_base_model()  # the model itself, whose linear layers have the adapter now
    _keep_unpacked(model)
    loaded: PreTrainedModel = model.eval()
    if place == "cpu":
        from engines.hf.weights.layout import lay_out_by_columns

        if pack_weights:
            from engines.hf.weights.packed import pack_linears

            pack_linears(loaded)
        lay_out_by_columns(loaded)
    return loaded


def merges_adapter(dtype: str) -> bool:
    """Return True if `load_model` merges an adapter into weights of this data type for inference."""
    return dtype == "float32"


def load_classifier(
    files: ModelFiles, dtype: str, device: str, seed: int, *, for_training: bool = False
) -> PreTrainedModel:
    """Return a model with a scalar score head on the last hidden state, on its device, for packed rows.

    If the folder contains no head, it is drawn from a normal distribution of variance 1 / (width + 1)
    (Stiennon et al. 2020, arXiv 2009.01325, as in their code).

    Args:
        files: the model on disk: a reward model, or a language model, whose output head is dropped.
        dtype: `float32`, `bfloat16` or `float16`.
        device: `auto`, `cpu` or `cuda`.
        seed: seed of a new head.
        for_training: True to set the model's own dropout to 0 (`config_without_dropout`).

    Raises:
        EngineError: if it cannot be loaded, or it has no linear layer `score` on the last hidden state.
    """
    torch = require("torch", _EXTRA)
    transformers = require("transformers", _EXTRA)
    settings = _options(files, dtype, pick_device(device))
    if files.adapter is not None:
        raise EngineError(
            "a reward model cannot be loaded on a model that has an adapter",
            where=str(files.adapter),
            accepted="a model without an adapter; merge a policy's adapter first (publius export --model)",
        )
    # transformers would warn that the score head is newly initialised, which is intended.
    with load_errors("reward model", files.folder, ACCEPTED_MODELS), quiet_transformers(_EXTRA):
        read = config_without_dropout if for_training else transformers.AutoConfig.from_pretrained
        config: Any = read(files.folder, num_labels=1)
        model, found = classifier_class(config).from_pretrained(
            files.folder,
            config=config,
            **settings,
            attn_implementation=_attention(files, ours=True),
            output_loading_info=True,
        )
    head = getattr(model, "score", None)
    if not isinstance(head, torch.nn.Linear):
        raise EngineError(
            f"{type(model).__name__} has no layer `score` on its last hidden state",
            where=str(files.folder),
            accepted="a causal language model, or a sequence classifier made from one",
        )
    if lost := sorted(set(found["missing_keys"]) - {_SCORE}):
        raise EngineError(
            f"{len(lost)} weights of {type(model).__name__} are not in the model's files, "
            f"the first is {lost[0]}",
            where=str(files.folder),
            accepted="a causal language model, or a sequence classifier made from one",
        )
    if _SCORE in found["missing_keys"]:
        generator = torch.Generator().manual_seed(seed)
        # On the CPU, so the same seed gives the same head on every device.
        drawn = torch.randn(head.weight.shape, generator=generator) / (head.in_features + 1) ** 0.5
        head.weight.data.copy_(drawn)
    _keep_unpacked(model)
    loaded: PreTrainedModel = model.eval()
    return loaded


def _keep_unpacked(model: Any) -> None:
    """Keep bitsandbytes from repacking 4-bit weights on a CPU at the first pass in evaluation mode.

    The kernel for repacked weights rounds to bfloat16 and has no gradient: training passes would be wrong.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _options(files: ModelFiles, dtype: str, place: str) -> dict[str, Any]:
    """Return arguments of `from_pretrained` that place the weights and give them their data type.

    With a device map, weights go from the files to the GPU without a copy of the model in the CPU's memory.
    """
    torch = require("torch", _EXTRA)
    require("accelerate", _EXTRA)  # transformers needs it for a device map
    options: dict[str, Any] = {
        "dtype": getattr(torch, dtype),
        "device_map": {"": torch.cuda.current_device() if place == "cuda" else place},
        "use_safetensors": True,
        "trust_remote_code": False,
    }
    if files.quantization is not None:
        options["quantization_config"] = _nf4(files, options["dtype"])
    return options


def _nf4(files: ModelFiles, compute_dtype: Any) -> Any:
    """Return the settings for weights in NF4 with double quantization.

    Dettmers et al. 2023, arXiv 2305.14314. The output head keeps its data type, as do routers, whose rounding
    would send tokens to other experts. In narrow models the attention keeps it as well: there, NF4 everywhere
    raises the loss by 8 % (docs/log.md), and such a model needs little memory in any case.
    """
    transformers: Any = require("transformers", _EXTRA)
    require("bitsandbytes", NF4_EXTRA)
    # It warns on a CPU that faster kernels could be downloaded.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    config = transformers.AutoConfig.from_pretrained(files.folder, trust_remote_code=False)
    width = getattr(config.get_text_config(), "hidden_size", 0)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
        llm_int8_skip_modules=[*_UNQUANTIZED, *(_ATTENTION if width < _NARROW else ())],
    )


def config_without_dropout(folder: Path, **options: Any) -> PreTrainedConfig:
    """Return a model's configuration with every dropout probability set to 0.

    Dropout would make a policy in training differ from its reference and from its sampler. The configuration
    is changed and not the modules, because some families call a function with its number.

    Args:
        folder: folder of the model.
        options: further values of the configuration.
    """
    transformers = require("transformers", _EXTRA)
    loaded: PreTrainedConfig = transformers.AutoConfig.from_pretrained(
        folder, trust_remote_code=False, **options
    )
    waiting: list[Any] = [loaded]
    while waiting:
        config = waiting.pop()
        for name, value in list(vars(config).items()):
            if isinstance(value, transformers.PreTrainedConfig):
                waiting.append(value)  # the text model of a model with vision
            elif isinstance(value, float) and any(part in name for part in _DROPOUT):
                setattr(config, name, 0.0)
    return loaded


def takes_packed_rows(model: Any) -> bool:
    """Return True if a model can use the attention function of this package, which packed rows need."""
    return bool(model._supports_attention_backend) and model.config._attn_implementation != _EAGER


def _attention(files: ModelFiles, ours: bool) -> str:
    """Return the name of the attention function that is right for a model.

    Args:
        files: the model on disk.
        ours: whether the function of this package is wanted where it fits. It is made for decoding on a CPU;
            training needs it on a GPU too, for packed rows, and sets it itself (`training/policy.py`).
    """
    transformers: Any = require("transformers", _EXTRA)
    from engines.hf.attention import register

    config = transformers.AutoConfig.from_pretrained(files.folder, trust_remote_code=False)
    kind = transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    # sdpa has no cap on scores and no attention sinks, and transformers only warns, or says nothing.
    caps = getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None
    if caps or not getattr(kind, "_supports_sdpa", True):
        return _EAGER
    # A model with attention classes of its own would not find a registered function, or ignore it.
    return register() if ours and getattr(kind, "_supports_attention_backend", True) else "sdpa"
