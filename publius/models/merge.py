"""Merge an adapter into its base model, as a folder that transformers and vLLM load without peft.

A policy stays a causal language model. A reward model becomes a sequence classifier with one label.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.errors import EngineError, first_line
from core.lazy import require
from core.libraries import load_errors, quiet_transformers
from core.notices import warn
from core.store.files import os_errors, require_empty
from engines.adapter import WEIGHTS, attach_adapter, read_settings
from engines.config import ModelConfig
from engines.hf.weights.saving import GENERATION, prepare_for_others, require_disk_space, write_model
from engines.hf.weights.score_layer import classifier_class
from engines.loading import ModelFiles, load_tokenizer, locate
from engines.reward_settings import FILE as REWARD_SETTINGS
from engines.reward_settings import read_reward_settings
from engines.tokenization import TurnEncoder

_EXTRA = "train"
_16_BITS = 2
"""Bytes of a weight in bfloat16 and float16."""
_KEPT = 0.9
"""Share of an adapter's changes that has to remain after rounding; below it, a warning is printed."""
_POLICY, _REWARD = "CAUSAL_LM", "SEQ_CLS"


def merge_adapter(adapter: Path, to: Path, base: ModelConfig) -> Path:
    """Merge an adapter into its base model, write the result and return its folder.

    The weights keep the data type of the base model's files; `base.dtype` has no effect.

    Args:
        adapter: folder of the LoRA adapter of a policy or a reward model.
        to: a new or empty folder.
        base: the model that the adapter was trained on.

    Raises:
        EngineError: if the model or the adapter cannot be loaded, or the adapter does not fit the model.
        MissingExtraError: if torch, transformers or peft is not installed.
        RunStateError: if the folder is not empty or not writable, or the disk is full or too small.
    """
    for package in ("torch", "transformers", "peft"):
        require(package, _EXTRA)
    target = to.expanduser().resolve()
    require_empty(target)
    task = _task_of(adapter)
    files = locate(base)
    _require_plain(files, task)
    require_disk_space(target, _weight_bytes(files.folder, adapter))
    with quiet_transformers(_EXTRA):  # else it warns that the head of a reward model is newly initialised
        encoder = TurnEncoder(load_tokenizer(files), base.chat_template_kwargs, files.name)
        model = _merged(files, adapter, task)
        prepare_for_others(model, encoder)
        extra = (files.folder / GENERATION, adapter / REWARD_SETTINGS)
        write_model(model, encoder.tokenizer, extra, target)
    return to


def _task_of(adapter: Path) -> str:
    """Return the adapter's peft task type. Raises EngineError if it cannot be merged."""
    members = read_reward_settings(adapter).members
    if len(members) > 1:
        raise EngineError(
            f"an ensemble of {len(members)} reward models cannot be merged into one model",
            where=str(adapter),
            accepted=f"the folder of one member, such as {adapter / members[0]}",
        )
    task = str(read_settings(adapter).get("task_type"))
    if task not in (_POLICY, _REWARD):
        raise EngineError(
            f"the adapter has the task type {task}",
            where=str(adapter),
            accepted=f"{_POLICY} (a policy) or {_REWARD} (a reward model)",
        )
    return task


def _require_plain(files: ModelFiles, task: str) -> None:
    """Raise EngineError if no adapter can be merged into the weights of the base model."""
    try:
        settings = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError("cannot read config.json", where=str(files.folder)) from error
    if settings.get("quantization_config"):
        raise EngineError(
            "an adapter cannot be merged into quantized weights",
            where=str(files.folder),
            accepted="the same model with float32, bfloat16 or float16 weights",
        )
    if files.adapter is not None and task == _REWARD:
        raise EngineError(
            "a reward model's adapter cannot be merged on top of another adapter",
            where=str(files.adapter),
            accepted="a model without an adapter; merge the first adapter, then use the merged model",
        )


def _weight_bytes(base: Path, adapter: Path) -> int:
    """Return an upper bound on the size of the merged weights, in bytes: base weights plus adapter."""
    with os_errors(base):
        return sum(path.stat().st_size for path in (*base.glob("*.safetensors"), adapter / WEIGHTS))


def _merged(files: ModelFiles, adapter: Path, task: str) -> Any:
    """Return the base model with its adapters merged, on the CPU."""
    transformers = require("transformers", _EXTRA)
    kind = transformers.AutoModelForCausalLM
    options: dict[str, Any] = {"dtype": "auto", "use_safetensors": True, "trust_remote_code": False}
    with load_errors("model", files.folder):
        if task == _REWARD:
            options["config"] = transformers.AutoConfig.from_pretrained(files.folder, num_labels=1)
            kind = classifier_class(options["config"])
        model = kind.from_pretrained(files.folder, **options)
    for folder in (files.adapter, adapter) if files.adapter else (adapter,):
        model = _merge_adapter(model, folder)
    return model


def _merge_adapter(model: Any, adapter: Path) -> Any:
    tuner = require("peft.tuners.tuners_utils", _EXTRA).BaseTunerLayer
    attached: Any = attach_adapter(model, adapter)
    plain = attached.get_base_model()
    ends = (plain.get_input_embeddings(), plain.get_output_embeddings())
    if getattr(plain.config, "tie_word_embeddings", False) and any(
        isinstance(layer, tuner) for layer in ends
    ):
        raise EngineError(
            "the adapter changes the embedding or the output head, but this model has tied weights",
            where=str(adapter),
            accepted="an adapter on the layers between them, or this one unmerged",
        )
    _warn_of_rounding(attached, adapter)
    try:
        return attached.merge_and_unload(safe_merge=True)
    except ValueError as error:  # peft raises ValueError if a merged weight is NaN or infinite
        raise EngineError(
            f"the adapter cannot be merged ({first_line(error)})",
            where=str(adapter),
            accepted="an adapter whose weights are all finite",
        ) from error


def _warn_of_rounding(attached: Any, adapter: Path) -> None:
    """Print a warning if weights of 16 bits are too coarse for the changes that the adapter makes to them."""
    tuner = require("peft.tuners.tuners_utils", _EXTRA).BaseTunerLayer
    wanted, made, kind = 0.0, 0.0, ""
    for layer in attached.modules():
        if not isinstance(layer, tuner) or not hasattr(layer, "get_delta_weight"):
            continue
        weight = layer.get_base_layer().weight
        delta = layer.get_delta_weight("default").float()
        if weight.element_size() != _16_BITS or delta.shape != weight.shape:
            continue
        kind = str(weight.dtype).removeprefix("torch.")
        rounded = (weight.float() + delta).to(weight.dtype).float() - weight.float()
        wanted += float((delta * delta).sum())
        made += float((rounded * delta).sum())
    if made < _KEPT * wanted:
        lost = f"{100 * (1 - made / wanted):.0f} %"
        warn(
            f"{adapter}: rounding to {kind} loses {lost} of the adapter's changes to the weights; "
            "to keep them, use the adapter unmerged or merge it into float32 weights"
        )
