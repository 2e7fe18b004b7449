"""Weaker forms of a trained adapter, for when a limit of quality excludes the adapter itself.

The update of the weights is multiplied by a share of 1: the weights lie between those before training and
after it, as in WiSE-FT (Wortsman et al. 2022, arXiv:2109.01903).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from core.lazy import require
from core.store.files import whole_folder
from engines.adapter import WEIGHTS
from engines.loading import holds_model
from publius.stages.quality.steered import copy_training
from training.checkpoints import RESULT
from training.policy import TRAIN_EXTRA

WEAKER = "weaker"
"""Folder of a run with the weaker forms that the choice has measured."""
_DOWN = (".lora_A.", ".lora_embedding_A")
_UP = (".lora_B.", ".lora_embedding_B")
"""Names of the two factors of a LoRA update; scaling one of them scales the update."""


def can_weaken(folder: Path) -> bool:
    """Return True if a training's result is an adapter of LoRA updates alone.

    A whole model, a new output layer (`modules_to_save`) or DoRA's magnitudes have no such form.
    """
    if holds_model(folder) or not (folder / WEIGHTS).is_file():
        return False
    safetensors = require("safetensors", TRAIN_EXTRA)
    with safetensors.safe_open(folder / WEIGHTS, "pt") as file:
        return all(any(part in key for part in (*_DOWN, *_UP)) for key in file.keys())  # noqa: SIM118


def weakened(folder: Path, share: float, to: Path) -> Path:
    """Write a training's result with its LoRA updates multiplied by a share; return the folder.

    Args:
        folder: folder of the training, for which `can_weaken` is true.
        share: factor of the updates, in (0, 1).
        to: the folder to write, a sibling of the training's or deeper inside the run.

    Raises:
        RunStateError: if the disk is full or the folder not writable.
    """
    if (to / RESULT).is_file():
        shutil.rmtree(to)  # of a training that may have been repeated since
    with whole_folder(to) as temporary:
        copy_training(folder, temporary, to)
        torch_files: Any = require("safetensors.torch", TRAIN_EXTRA)
        tensors = torch_files.load_file(folder / WEIGHTS)
        scaled = {
            key: value * share if any(part in key for part in _UP) else value
            for key, value in tensors.items()
        }
        torch_files.save_file(scaled, temporary / WEIGHTS, metadata={"format": "pt"})
    return to
