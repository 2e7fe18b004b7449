"""The models that a run's trainings left in its folder."""

from __future__ import annotations

import json
from pathlib import Path

from engines.config import ModelConfig
from engines.loading import holds_model
from training.checkpoints import RESULT


def trained_model(folder: Path, policy: ModelConfig) -> ModelConfig:
    """Return the model of a completed training: the policy with an adapter, or a whole model.

    Args:
        folder: folder of the training.
        policy: the model that the run trains.
    """
    if holds_model(folder):
        return policy.model_copy(update={"id": str(folder), "revision": None, "adapter": None})
    return base_of(folder, policy).model_copy(update={"adapter": str(folder)})


def base_of(folder: Path, policy: ModelConfig) -> ModelConfig:
    """Return the model that a trained adapter is for: the policy, or the whole model that a method trained.

    Args:
        folder: folder of the adapter.
        policy: the model that the run trains.
    """
    try:
        base = json.loads((folder / RESULT).read_text(encoding="utf-8")).get("base")
    except FileNotFoundError:
        return policy
    return policy if base is None else trained_model((folder / base).resolve(), policy)


def trained_adapter(run: Path, method: str) -> Path | None:
    """Return the folder of a completed training in a run folder, or None.

    It holds an adapter, or a whole model if all weights were trained (`trained_model` tells them apart).
    """
    folder = run / method
    return folder if (folder / RESULT).is_file() else None
