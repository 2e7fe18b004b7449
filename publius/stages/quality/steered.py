"""The folder `steered/`: the chosen checkpoint as peft, transformers and vLLM load it, and `choice.json`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from core.store.files import os_errors, whole_folder, write_atomic
from engines.loading import holds_model
from training.checkpoints import RESULT
from training.job import result_files

CHOICE = "choice.json"
"""File with the measures of all checkpoints, the limits and the chosen checkpoint."""
_CARD = ("README.md", "card.json", "job.json")


def read_choice(folder: Path) -> dict[str, Any] | None:
    """Return the content of `choice.json` in a run's folder `steered/`, or None if nothing was chosen."""
    try:
        content = json.loads((folder / CHOICE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def write_steered(folder: Path, checkpoint: Path | None, choice: dict[str, Any]) -> None:
    """Write the folder of the chosen checkpoint, unless it holds this choice already.

    Args:
        folder: the folder `steered/` of a run.
        checkpoint: folder of the chosen training; None if the base model stays.
        choice: the content of `choice.json`, which determines the folder's files.

    Raises:
        RunStateError: if the disk is full or the folder not writable.
    """
    if read_choice(folder) == choice and _is_whole(folder, checkpoint):
        return
    with os_errors(folder):
        shutil.rmtree(folder, ignore_errors=True)
    with whole_folder(folder) as temporary:
        if checkpoint is not None:
            copy_training(checkpoint, temporary, folder)
        write_atomic(temporary / CHOICE, json.dumps(choice, indent=2, ensure_ascii=False) + "\n")


def copy_training(source: Path, target: Path, final: Path) -> None:
    """Copy a finished training; weights of a whole model are linked where the file system can."""
    result = json.loads((source / RESULT).read_text(encoding="utf-8"))
    if result.get("base") is not None:  # relative to the folder, so that a run can be moved
        result["base"] = os.path.relpath((source / result["base"]).resolve(), final.resolve())
    for name in (*result_files(source), *_CARD):
        if not (source / name).is_file():
            continue
        if holds_model(source) and name.endswith(".safetensors"):
            _link_or_copy(source / name, target / name)
        else:
            shutil.copy2(source / name, target / name)
    write_atomic(target / RESULT, json.dumps(result, indent=2) + "\n")


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


def _is_whole(folder: Path, checkpoint: Path | None) -> bool:
    """Return True if the folder holds files of the sizes that the checkpoint's have."""
    if checkpoint is None:
        return not (folder / RESULT).exists()
    names = result_files(checkpoint)
    return (folder / RESULT).is_file() and all(
        (folder / name).is_file() and (folder / name).stat().st_size == (checkpoint / name).stat().st_size
        for name in names
    )
