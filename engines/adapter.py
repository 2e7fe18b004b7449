"""LoRA adapters in peft's format: their settings and digest, and how they are attached to a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.digests import digest, file_digest
from core.errors import EngineError, first_line
from core.lazy import require
from core.libraries import load_errors

if TYPE_CHECKING:
    from peft import PeftModel

WEIGHTS = "adapter_model.safetensors"
SETTINGS = "adapter_config.json"
_EXTRA = "train"
_FITTING = "an adapter trained on this model"


def adapter_digest(folder: Path) -> str:
    """Return a digest of an adapter's weights and of the settings that determine its effect.

    Raises:
        EngineError: if the folder holds no adapter.
    """
    settings = read_settings(folder)
    # The path of the base model changes when folders are moved; the model has a digest of its own.
    acting = {key: value for key, value in settings.items() if key != "base_model_name_or_path"}
    return digest("adapter", file_digest(folder / WEIGHTS), acting)[:32]


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the content of `adapter_config.json`. Raises EngineError if the folder holds no adapter."""
    try:
        if not (folder / WEIGHTS).is_file():
            raise FileNotFoundError(f"{WEIGHTS} is missing")
        settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise ValueError(f"{SETTINGS} is not a JSON object")
    except (OSError, ValueError) as error:
        raise EngineError(
            f"no LoRA adapter in this folder ({first_line(error)})",
            where=str(folder),
            accepted=f"a folder with {SETTINGS} and {WEIGHTS}, as saved by peft",
        ) from error
    return settings


def attach_adapter(model: Any, folder: Path, *, trainable: bool = False) -> PeftModel:
    """Attach the adapter of a folder to a model; return the wrapped model.

    Raises:
        EngineError: if the folder has no adapter, or the adapter was trained on another model.
    """
    read_settings(folder)
    peft = require("peft", _EXTRA)
    with load_errors("adapter", folder, _FITTING):
        attached: PeftModel = peft.PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    _require_whole(attached, folder)
    return attached


def attach_further_adapter(model: PeftModel, folder: Path, name: str) -> None:
    """Attach another adapter to a model that has one; `model.set_adapter` switches between them.

    Raises:
        EngineError: if the folder has no adapter, or the adapter was trained on another model.
    """
    read_settings(folder)
    with load_errors("adapter", folder, _FITTING):
        model.load_adapter(str(folder), adapter_name=name)
    _require_whole(model, folder, name)


def _require_whole(model: PeftModel, folder: Path, name: str = "default") -> None:
    """Raise EngineError unless the stored weights and those of the attached adapter have the same names.

    peft only warns about a mismatch, so a model with fewer or more layers would run with half of the adapter.
    """
    peft = require("peft", _EXTRA)
    safetensors = require("safetensors", _EXTRA)
    # With save_embedding_layers="auto", peft may look up the base model's config on the Hugging Face hub.
    wanted = set(peft.get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False))
    heads = tuple(f".{module}." for module in read_settings(folder).get("modules_to_save") or ())
    with safetensors.safe_open(folder / WEIGHTS, "pt") as file:
        # Files by others may also hold embeddings that peft saved; only what the adapter defines must match.
        stored = {key for key in file.keys() if any(part in key for part in ("lora_", *heads))}  # noqa: SIM118
    mismatched = sorted(wanted ^ stored)
    if mismatched:
        raise EngineError(
            f"the adapter does not fit the model ({len(mismatched)} weights do not match, "
            f"the first is {mismatched[0]})",
            where=str(folder),
            accepted=_FITTING,
        )
