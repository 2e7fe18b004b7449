"""A folder with a whole model: written aside and renamed at the end, so that a kill leaves no half of one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from core.errors import RunStateError
from core.lazy import require
from core.libraries import write_errors
from core.store.files import os_errors, sync_folder

GENERATION = "generation_config.json"
_EXTRA = "transformers"
_SLACK = 1.05
"""Tokenizer, settings and file-system blocks beside the weights."""


def require_room(target: Path, weight_bytes: int) -> None:
    """Refuse to begin where the weights do not fit on the disk. Raises RunStateError with both sizes."""
    needed = int(_SLACK * weight_bytes)
    with os_errors(target):
        there = next(folder for folder in (target, *target.parents) if folder.exists())
        free = shutil.disk_usage(there).free
    if free < needed:
        raise RunStateError(
            f"too little disk for the model: {free / 2**20:,.0f} MiB free",
            where=str(target),
            accepted=f"{needed / 2**20:,.0f} MiB",
            run=f"df -h {there}",
        )


def write_model(model: Any, tokenizer: Any, kept: tuple[Path, ...], target: Path) -> None:
    """Write everything aside, and rename it when it is whole.

    Args:
        model: a model of transformers.
        tokenizer: its tokenizer, with the chat template.
        kept: files that are copied as they are, where they exist.
        target: a new or empty folder.

    Raises:
        RunStateError: if the disk is full or the folder not writable.
    """
    aside = target.with_name(f".{target.name}.merging")
    with os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        try:
            with write_errors("model", target, target.parent, also=(ValueError,)):
                _save(model, tokenizer, aside)
            for path in kept:
                if path.exists():
                    shutil.copy2(path, aside)
            _settle(aside)
            aside.rename(target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write weights, settings and tokenizer.

    How to generate is not written but copied: transformers refuses to write settings that it deems not valid,
    and many models have such.
    """
    transformers = require("transformers", _EXTRA)
    if model.can_generate():
        model.generation_config = transformers.GenerationConfig()
    model.save_pretrained(folder)
    (folder / GENERATION).unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)


def _settle(folder: Path) -> None:
    """Put every file on disk, with the mode that the umask gives: safetensors writes for the owner alone."""
    mode = (folder / "config.json").stat().st_mode
    for path in folder.iterdir():
        path.chmod(mode)
        with path.open("rb") as file:
            os.fsync(file.fileno())
