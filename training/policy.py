"""The policy in training: the model's frozen weights and the LoRA adapter that learns."""

from __future__ import annotations

import gc
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import EngineError, first_line
from core.lazy import require
from core.store.files import os_errors, sync_folder, write_atomic
from engines.adapter import SETTINGS, WEIGHTS, attach_adapter, read_settings
from engines.config import ModelConfig
from engines.hf.loading import load_classifier, load_model
from engines.loading import load_tokenizer, locate, pick_dtype
from engines.tokenization import TurnEncoder
from training.checkpoints import ASIDE
from training.config import LoraConfig

if TYPE_CHECKING:
    from peft import PeftModel

TRAIN_EXTRA = "train"


def load_encoder(config: ModelConfig) -> TurnEncoder:
    """Return what encodes conversations for the policy; loads no weights."""
    files = locate(config)
    return TurnEncoder(load_tokenizer(files), config.chat_template_kwargs, files.name)


def load_policy(
    config: ModelConfig, lora: LoraConfig, device: str, seed: int, start: Path | None = None
) -> PeftModel:
    """Return the model with an adapter to be trained.

    Args:
        config: the model.
        lora: shape of a new adapter; one that is gone on with keeps its own.
        device: `auto`, `cpu` or `cuda`.
        seed: from which a new adapter is drawn. It changes no output until it is trained.
        start: folder of the adapter to go on with.

    Raises:
        EngineError: if the model or adapter cannot be loaded, or has no module of a name in `lora.targets`.
    """
    model: Any = load_model(locate(config), pick_dtype(config.dtype, device), device)
    _attend_to_packed_rows(model)
    if start is not None:
        return attach_adapter(model, start, trainable=True)
    return _with_adapter(model, adapter_shape(lora, "CAUSAL_LM"), seed)


def load_reward_policy(
    config: ModelConfig, lora: LoraConfig, device: str, seed: int, start: Path | None = None
) -> PeftModel:
    """Return the model with a scoring head and an adapter, both to be trained.

    Args:
        config: the model.
        lora: shape of a new adapter; one that is gone on with keeps its own.
        device: `auto`, `cpu` or `cuda`.
        seed: from which the head and a new adapter are drawn.
        start: folder of a policy's adapter to go on with.

    Raises:
        EngineError: if the model or adapter cannot be loaded.
    """
    model: Any = load_classifier(locate(config), pick_dtype(config.dtype, device), device, seed)
    if start is None:
        return _with_adapter(model, adapter_shape(lora, "SEQ_CLS"), seed)
    scorer = _with_adapter(model, _scoring_shape(start), seed)
    _take_over(scorer, start)
    return scorer


def _scoring_shape(start: Path) -> Any:
    """Return the settings of a policy's adapter for a reward model: its own, but for the head."""
    peft = require("peft", TRAIN_EXTRA)
    read_settings(start)
    shape = peft.LoraConfig.from_pretrained(str(start))
    shape.task_type, shape.modules_to_save, shape.inference_mode = "SEQ_CLS", ["score"], False
    shape.base_model_name_or_path = None  # peft would warn where the model's folder has another name
    return shape


def _take_over(scorer: PeftModel, start: Path) -> None:
    """Give a scorer the weights of a policy's adapter, every one; its head stays as it is."""
    peft = require("peft", TRAIN_EXTRA)
    safetensors = require("safetensors.torch", TRAIN_EXTRA)
    own = peft.get_peft_model_state_dict(scorer, save_embedding_layers=False)
    learned = safetensors.load_file(start / WEIGHTS)
    astray = sorted({key for key in own if ".score." not in key} ^ learned.keys())
    astray += [key for key in learned if key in own and learned[key].shape != own[key].shape]
    if astray:
        raise EngineError(
            f"the adapter does not fit the model ({len(astray)} weights differ, the first is {astray[0]})",
            where=str(start),
            accepted="an adapter of the layers between embedding and head that was trained on this model",
        )
    peft.set_peft_model_state_dict(scorer, own | learned)


def _attend_to_packed_rows(model: Any) -> None:
    """Let a model that was loaded for a GPU take packed rows as well."""
    from engines.hf.attention import register

    name = register()
    if model.config._attn_implementation != name:
        model.set_attn_implementation(name)


def adapter_shape(lora: LoraConfig, task: str) -> Any:
    """Return peft's settings of a new adapter; a reward model's head is trained and saved beside it."""
    peft = require("peft", TRAIN_EXTRA)
    return peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        task_type=task,
        modules_to_save=["score"] if task == "SEQ_CLS" else None,
    )


def _with_adapter(model: Any, shape: Any, seed: int) -> PeftModel:
    peft = require("peft", TRAIN_EXTRA)
    torch = require("torch", TRAIN_EXTRA)
    torch.manual_seed(seed)
    try:
        policy: PeftModel = peft.get_peft_model(model, shape)
    except ValueError as error:
        raise EngineError(
            f"no adapter can be put on {model.config._name_or_path} ({first_line(error)})",
            where="lora.targets",
            accepted="all-linear, or names of the model's linear modules such as [q_proj, v_proj]",
        ) from error
    return policy


def load_adapter_weights(policy: Any, folder: Path) -> None:
    """Give a policy the adapter's weights of a checkpoint."""
    peft = require("peft", TRAIN_EXTRA)
    safetensors = require("safetensors.torch", TRAIN_EXTRA)
    peft.set_peft_model_state_dict(policy, safetensors.load_file(folder / WEIGHTS))


def free_memory() -> None:
    """Give back what models that went out of scope held: the next one may need all of the GPU."""
    torch = require("torch", TRAIN_EXTRA)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def save_adapter(policy: PeftModel, folder: Path, base: str) -> None:
    """Write the adapter into a folder, aside first and renamed at the end; plain peft loads it from there.

    Args:
        policy: the model that wears it.
        folder: where it goes.
        base: the model's id or folder, as `adapter_config.json` names it.

    Raises:
        RunStateError: if the disk is full or the folder not writable.
    """
    aside = folder / ASIDE
    with os_errors(folder):
        shutil.rmtree(aside, ignore_errors=True)
        policy.save_pretrained(str(aside), selected_adapters=["default"])
        settings = json.loads((aside / SETTINGS).read_text(encoding="utf-8"))
        if isinstance(settings["target_modules"], list):
            settings["target_modules"].sort()  # peft holds a set, whose order changes between processes
        settings["base_model_name_or_path"] = base
        with (aside / WEIGHTS).open("rb") as file:
            os.fsync(file.fileno())
        (aside / WEIGHTS).chmod((aside / SETTINGS).stat().st_mode)  # safetensors writes for the owner alone
        (aside / WEIGHTS).replace(folder / WEIGHTS)
        write_atomic(folder / SETTINGS, json.dumps(settings, indent=2, sort_keys=True) + "\n")
        shutil.rmtree(aside)
        sync_folder(folder)
