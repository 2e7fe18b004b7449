"""Load the weights of causal language models and reward models with transformers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import EngineError
from core.lazy import require
from core.libraries import load_errors, quiet_transformers
from engines.adapter import attach_adapter
from engines.hf.score_layer import classifier_class
from engines.loading import ACCEPTED_MODELS, ModelFiles, pick_device

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_EXTRA = "transformers"
_EAGER = "eager"
_SCORE = "score.weight"
_DROPOUT = ("dropout", "pdrop", "layerdrop")
"""Parts of the names of dropout probabilities in configurations, as in `attention_dropout`, `resid_pdrop`."""


def load_model(files: ModelFiles, dtype: str, device: str, *, for_training: bool = False) -> PreTrainedModel:
    """Return the model on its device in evaluation mode; an adapter is merged into the weights.

    Args:
        files: the model on disk.
        dtype: `float32`, `bfloat16` or `float16`.
        device: `auto`, `cpu` or `cuda`.
        for_training: True to set the model's own dropout to 0 (`config_without_dropout`).
    """
    torch = require("torch", _EXTRA)
    transformers = require("transformers", _EXTRA)
    require("accelerate", _EXTRA)
    place = pick_device(device)
    transformers.utils.logging.disable_progress_bar()
    with load_errors("model", files.folder, ACCEPTED_MODELS):
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            files.folder,
            config=config_without_dropout(files.folder) if for_training else None,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation=_attention(files, place == "cpu"),
        )
    if files.adapter is not None:
        # Merged, the adapter costs nothing in a decoding step (docs/log.md measures the difference).
        model = attach_adapter(model, files.adapter).merge_and_unload()
    with load_errors("model", files.folder):
        loaded: PreTrainedModel = model.to(place).eval()
    if place == "cpu":
        from engines.hf.layout import lay_out_by_columns

        lay_out_by_columns(loaded)
    return loaded


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
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,
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
    place = pick_device(device)
    with load_errors("reward model", files.folder):
        loaded: PreTrainedModel = model.to(place).eval()
    return loaded


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
