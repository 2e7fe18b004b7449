"""The policy in training: the model's frozen weights and the LoRA adapter that learns."""

from __future__ import annotations

import gc
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import EngineError
from core.files import os_errors, sync_folder, write_atomic
from core.lazy import require
from engines.adapter import SETTINGS, WEIGHTS, wear_adapter
from engines.config import ModelConfig
from engines.loading import load_model, load_tokenizer, locate, pick_dtype
from engines.tokenization import TurnEncoder
from training.checkpoints import ASIDE
from training.config import LoraConfig

if TYPE_CHECKING:
    from peft import PeftModel

EXTRA = "train"


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
    peft = require("peft", EXTRA)
    torch = require("torch", EXTRA)
    model: Any = load_model(locate(config), pick_dtype(config.dtype, device), device)
    if start is not None:
        return wear_adapter(model, start, trainable=True)
    shape = peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    try:
        policy: PeftModel = peft.get_peft_model(model, shape)
    except ValueError as error:
        raise EngineError(
            f"no adapter can be put on {config.id} ({str(error).partition(chr(10))[0]})",
            where="lora.targets",
            accepted="all-linear, or names of the model's linear modules such as [q_proj, v_proj]",
        ) from error
    return policy


def free_memory() -> None:
    """Give back what models that went out of scope held: the next one may need all of the GPU."""
    torch = require("torch", EXTRA)
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
        policy.save_pretrained(str(aside))
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
