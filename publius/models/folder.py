"""Write model folders atomically: into a temporary folder that is renamed at the end.

A process that is killed leaves no incomplete model under the target's name.
"""

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
"""Factor on the size of the weights; leaves room for tokenizer, settings and file-system blocks."""


def require_disk_space(target: Path, weight_bytes: int) -> None:
    """Raise RunStateError, with both sizes, if the weights do not fit on the disk."""
    needed = int(_SLACK * weight_bytes)
    with os_errors(target):
        there = next(folder for folder in (target, *target.parents) if folder.exists())
        free = shutil.disk_usage(there).free
    if free < needed:
        raise RunStateError(
            f"not enough disk space for the model: {free / 2**20:,.0f} MiB free",
            where=str(target),
            accepted=f"at least {needed / 2**20:,.0f} MiB",
            run=f"df -h {there}",
        )


def write_model(model: Any, tokenizer: Any, extra: tuple[Path, ...], target: Path) -> None:
    """Write a model to a temporary folder, and rename the folder once it is complete.

    Args:
        model: a transformers model.
        tokenizer: its tokenizer, with the chat template.
        extra: files to copy unchanged, if they exist.
        target: a new or empty folder.

    Raises:
        RunStateError: if the disk is full or the folder is not writable.
    """
    temporary = target.with_name(f".{target.name}.merging")
    with os_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            with write_errors("model", target, target.parent, also=(ValueError,)):
                _save(model, tokenizer, temporary)
            for path in extra:
                if path.exists():
                    shutil.copy2(path, temporary)
            _settle(temporary)
            temporary.rename(target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write weights, settings and tokenizer.

    The generation settings are copied by the caller, not saved here: transformers refuses to save settings
    that it considers invalid, and many published models have such settings.
    """
    transformers = require("transformers", _EXTRA)
    if model.can_generate():
        model.generation_config = transformers.GenerationConfig()
    model.save_pretrained(folder)
    (folder / GENERATION).unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)


def _settle(folder: Path) -> None:
    """Flush every file to disk and give it the mode of the umask; safetensors writes for the owner only."""
    mode = (folder / "config.json").stat().st_mode
    for path in folder.iterdir():
        path.chmod(mode)
        with path.open("rb") as file:
            os.fsync(file.fileno())
