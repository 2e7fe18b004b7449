"""LoRA adapters on disk, as peft writes them: what they are, and a model that wears one."""

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
_FITTING = "an adapter that was trained on this model"


def adapter_digest(folder: Path) -> str:
    """Return a digest of an adapter's weights and of the settings that say how they act.

    Raises:
        EngineError: if the folder holds no adapter.
    """
    settings = read_settings(folder)
    acting = {key: value for key, value in settings.items() if key != "base_model_name_or_path"}
    return digest("adapter", file_digest(folder / WEIGHTS), acting)[:32]


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the content of `adapter_config.json`. Raises EngineError if the folder holds no adapter."""
    try:
        if not (folder / WEIGHTS).is_file():
            raise FileNotFoundError(f"{WEIGHTS} is missing")
        settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise ValueError(f"{SETTINGS} holds no settings")
    except (OSError, ValueError) as error:
        raise EngineError(
            f"no LoRA adapter there ({first_line(error)})",
            where=str(folder),
            accepted=f"a folder with {SETTINGS} and {WEIGHTS}, as peft writes them",
        ) from error
    return settings


def attach_adapter(model: Any, folder: Path, *, trainable: bool = False) -> PeftModel:
    """Return the model with the adapter of a folder on it.

    Raises:
        EngineError: if there is no adapter, or it was made for another model.
    """
    read_settings(folder)
    peft = require("peft", _EXTRA)
    with load_errors("adapter", folder, _FITTING):
        worn: PeftModel = peft.PeftModel.from_pretrained(model, folder, is_trainable=trainable)
    _require_whole(worn, folder)
    return worn


def attach_further_adapter(worn: PeftModel, folder: Path, name: str) -> None:
    """Put another folder's adapter on a model that wears one; `worn.set_adapter` switches between them.

    Raises:
        EngineError: if there is no adapter, or it was made for another model.
    """
    read_settings(folder)
    with load_errors("adapter", folder, _FITTING):
        worn.load_adapter(str(folder), adapter_name=name)
    _require_whole(worn, folder, name)


def _require_whole(worn: PeftModel, folder: Path, name: str = "default") -> None:
    """Refuse an adapter of which a part found no place in the model, or the other way round.

    peft only warns then, and a model of fewer or more layers would be run with half of the adapter.
    """
    peft = require("peft", _EXTRA)
    safetensors = require("safetensors", _EXTRA)
    wanted = set(peft.get_peft_model_state_dict(worn, adapter_name=name, save_embedding_layers=False))
    heads = tuple(f".{module}." for module in read_settings(folder).get("modules_to_save") or ())
    with safetensors.safe_open(folder / WEIGHTS, "pt") as file:
        stored = {key for key in file.keys() if any(part in key for part in ("lora_", *heads))}  # noqa: SIM118
    astray = sorted(wanted ^ stored)
    if astray:
        raise EngineError(
            f"the adapter does not fit the model ({len(astray)} weights differ, the first is {astray[0]})",
            where=str(folder),
            accepted=_FITTING,
        )
