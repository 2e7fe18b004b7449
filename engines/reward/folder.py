"""Find the folder of a reward model: output of `publius train reward`, or a sequence classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.digests import digest
from core.errors import MissingExtraError
from core.lazy import require
from engines.adapter import SETTINGS as ADAPTER
from engines.adapter import adapter_digest, read_settings
from engines.config import ModelConfig
from engines.loading import locate
from engines.reward_settings import FILE as REWARD_FILE
from engines.reward_settings import RewardSettings, read_reward_settings

_CLASSIFIER = "ForSequenceClassification"
_CLASSIFIER_TASK = "SEQ_CLS"
"""PEFT's name for sequence classification."""
_CONFIG = "config.json"


def reward_folder(model: ModelConfig, *, from_hub: bool = True) -> Path | None:
    """Return the folder of a reward model, or None for every other model. Nothing is downloaded.

    Args:
        model: a folder, or a Hugging Face id.
        from_hub: look up an id among the models that were downloaded.
    """
    folder: Path | None = Path(model.id).expanduser()
    if not (folder and folder.is_dir()):
        folder = _downloaded(model) if from_hub else None
    if folder is None:
        return None
    return folder if (folder / REWARD_FILE).is_file() or _is_classifier(folder) else None


def reward_base(folder: Path, settings: RewardSettings) -> ModelConfig | None:
    """Return the model that a reward model's adapters name as theirs; None if the folder has a whole model.

    Raises:
        EngineError: if the settings of the adapter cannot be read.
    """
    member = folder / settings.members[0]
    if not (member / ADAPTER).exists():
        return None
    return ModelConfig(id=str(read_settings(member)["base_model_name_or_path"]))


def reward_identity(folder: Path, base: ModelConfig | None = None) -> str:
    """Return a digest of a reward model's weights and settings, and of the model that its adapters are for.

    Args:
        folder: the reward model.
        base: the model that its adapters are for; None for the one that they name.
    """
    settings = read_reward_settings(folder)
    named = reward_base(folder, settings)
    model, parts = ModelConfig(id=str(folder)), list[str]()
    if named is not None:
        model = base or named
        parts = [adapter_digest(folder / member) for member in settings.members]
    return digest(locate(model).identity, parts, settings.model_dump())[:32]


def _is_classifier(folder: Path) -> bool:
    """Return True if a folder has a sequence classifier, or an adapter for one."""
    names = _settings(folder / _CONFIG).get("architectures") or ()
    return any(str(name).endswith(_CLASSIFIER) for name in names) or (
        _settings(folder / ADAPTER).get("task_type") == _CLASSIFIER_TASK
    )


def _settings(path: Path) -> dict[str, Any]:
    """Return the object in a file of JSON; empty if there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _downloaded(model: ModelConfig) -> Path | None:
    """Return the folder of a Hugging Face id in the hub's cache, or None."""
    try:
        hub = require("huggingface_hub", "transformers")
        found = hub.try_to_load_from_cache(model.id, _CONFIG, revision=model.revision)
    except (MissingExtraError, ValueError):  # not an id of the hub
        return None
    return Path(found).parent if isinstance(found, str) else None
