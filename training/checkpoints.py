"""Crash-safe checkpoints: the training may be killed at any moment.

    sft/
      job.json                        digest of everything that determines the result
      metrics.jsonl                   one line per optimizer step and per evaluation
      checkpoints/checkpoint-40/      the newest complete one; .staging/checkpoint-50/ is being written
      adapter_model.safetensors, adapter_config.json, training.json      at the end, in this order; or,
                                      if all weights are trained, model.safetensors, config.json ...

A checkpoint is written in `.staging` and renamed when it is complete, so training never resumes from a
partial one. Checkpoints of another job (other data, other settings) are discarded.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import RunStateError, shell_command
from core.store.files import os_errors, sync_folder, write_atomic

ADAPTER_STAGING = ".adapter.new"
"""Temporary folder of the result, before it is moved to its place."""
SAMPLES_FILE, CRITIC_FILE = EXTRA_FILES = ("samples.jsonl", "critic.safetensors")
"""Further files of PPO: sampled answers of each step, and the critic's trained parameters."""
_MARKER = "job.json"
RESULT = "training.json"
"""File that marks a training as complete."""
_NAME = re.compile(r"checkpoint-([0-9]+)")
_COMPLETE = "complete.json"
"""File of a checkpoint with the sizes of its other files in bytes."""
_SIZES = "files"
"""Key of `training.json` with the sizes of the result's files in bytes."""
_TENSORS, _SETTINGS = "*.safetensors", ("adapter_config.json", "config.json", "*.safetensors.index.json")
_SLACK = 1.2
"""Factor for settings, states and file-system blocks in addition to the tensors."""


@dataclass(frozen=True)
class TrainingFolder:
    """Folder with the state of one training job."""

    path: Path

    @property
    def staging(self) -> Path:
        """Folder of the checkpoint being written."""
        return self.path / ".staging"

    @property
    def checkpoints(self) -> Path:
        """Folder of complete checkpoints."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """File with one JSON line per optimizer step and per evaluation."""
        return self.path / "metrics.jsonl"

    def result(self, job: str) -> dict[str, Any] | None:
        """Return the content of `training.json` if this job is complete and undamaged, else None."""
        result = _json_object(self.path / RESULT)
        if result.get("job") != job:
            return None
        sizes = result.get(_SIZES)
        if not isinstance(sizes, dict):  # written by an older version, or damaged
            sizes = {path.name: None for path in self.path.glob(_TENSORS)} or {"no weights": None}
        return result if _are_whole(self.path, sizes) else None

    def holds_another(self, job: str) -> bool:
        """Return True if another job is complete here, damaged or not."""
        return (self.path / RESULT).is_file() and _json_object(self.path / RESULT).get("job") != job

    def is_of_older_steps(self, job: str, steps: int) -> bool:
        """Return True if an older version of the job's optimizer steps left checkpoints of it here."""
        marker = _marker(self.path)
        is_other = marker.get("job") == job and marker["steps"] != steps
        return is_other and self.checkpoints.is_dir() and self.newest() is not None

    def open(self, job: str, steps: int = 0) -> Path | None:
        """Prepare the folder for a job; return its newest complete checkpoint, or None.

        Args:
            job: digest of the job and its data.
            steps: version of the job's optimizer steps; checkpoints of another version are removed.

        Raises:
            RunStateError: if the folder cannot be written.
        """
        with os_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.staging, ignore_errors=True)
            if _marker(self.path) != {"job": job, "steps": steps}:
                # First, or a kill in between would leave a finished result without its metrics.
                (self.path / RESULT).unlink(missing_ok=True)
                shutil.rmtree(self.checkpoints, ignore_errors=True)
                for name in (self.metrics.name, *EXTRA_FILES):
                    (self.path / name).unlink(missing_ok=True)
                # Last: if killed before, the next start cleans up again.
                write_atomic(self.path / _MARKER, json.dumps({"job": job, "steps": steps}) + "\n")
            self.staging.mkdir()
            self.checkpoints.mkdir(exist_ok=True)
            return self.newest()

    def is_saving(self) -> bool:
        """Return True if a checkpoint or the adapter is being written and not committed yet."""
        under_way = [self.path / ADAPTER_STAGING, *self.staging.glob("checkpoint-*")]
        return any(path.exists() for path in under_way)

    def commit(self, step: int, keep: int | None = None) -> None:
        """Move the checkpoint of a step out of staging; remove all others except that of step `keep`."""
        name = f"checkpoint-{step}"
        with os_errors(self.path):
            # The content must be on the disk before the rename, or a crash could leave a complete-looking
            # checkpoint of empty files. Older checkpoints are removed only after the rename is synced.
            files = list((self.staging / name).iterdir())
            for file in files:
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
            sizes = {file.name: file.stat().st_size for file in files}
            write_atomic(self.staging / name / _COMPLETE, json.dumps(sizes))
            shutil.rmtree(self.checkpoints / name, ignore_errors=True)
            (self.staging / name).rename(self.checkpoints / name)
            sync_folder(self.checkpoints)
            for old in self._all():
                if old.name not in (name, f"checkpoint-{keep}"):
                    shutil.rmtree(old)

    def checkpoint(self, step: int) -> Path:
        """Return the folder of the complete checkpoint of a step."""
        return self.checkpoints / f"checkpoint-{step}"

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write `training.json`, which marks the training as complete; remove the checkpoints."""
        files = [path for name in (_TENSORS, *_SETTINGS) for path in self.path.glob(name)]
        sizes = {path.name: path.stat().st_size for path in sorted(files)}
        write_atomic(self.path / RESULT, json.dumps({**result, _SIZES: sizes}, indent=2) + "\n")
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        shutil.rmtree(self.staging, ignore_errors=True)

    def rewind(self, name: str, step: int) -> None:
        """Drop lines of steps after `step` and a torn last line: these steps will be written again."""
        path = self.path / name
        try:
            # After the last line end there is nothing, or a torn line.
            *lines, _ = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        write_atomic(path, b"".join(line + b"\n" for line in lines if _step_of(line) <= step))

    def require_disk_space(self, trainable_parameters: int) -> None:
        """Refuse to start if the checkpoints and the result do not fit on the disk.

        A checkpoint contains the trained weights and two Adam moments, at most 4 bytes per parameter each.
        The newest, the best and the one being written exist at the same time.

        Raises:
            RunStateError: there is too little space; the message gives the required and the free space.
        """
        # Three checkpoints of three tensors per parameter, and the result.
        needed = int(_SLACK * 4 * trainable_parameters * (3 * 3 + 1))
        with os_errors(self.path):
            free = shutil.disk_usage(self.path).free
        if free < needed:
            raise RunStateError(
                f"not enough disk space for the checkpoints: {free / 2**20:,.0f} MiB free",
                where=str(self.path),
                accepted=f"{needed / 2**20:,.0f} MiB, a smaller lora.r, or finetuning: lora",
                run=shell_command("df", "-h", self.path),
            )

    def newest(self) -> Path | None:
        """Return the newest complete checkpoint, or None if there is none. Damaged ones are passed over."""
        whole = (path for path in self._all() if _are_whole(path, _json_object(path / _COMPLETE)))
        return max(whole, key=lambda path: int(path.name.partition("-")[2]), default=None)

    def _all(self) -> list[Path]:
        return [path for path in self.checkpoints.iterdir() if _NAME.fullmatch(path.name)]


def _marker(folder: Path) -> dict[str, Any]:
    """Return the content of `job.json`, with `steps` 0 if it has none; empty if it is missing or invalid."""
    found = _json_object(folder / _MARKER)
    return {"steps": 0, **found} if found else {}


def _json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; empty if the file is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _are_whole(folder: Path, sizes: Mapping[str, int | None]) -> bool:
    """Return True if all files are in the folder with these sizes in bytes; None is any size above 0."""
    for name, size in sizes.items():
        try:
            found = (folder / name).stat().st_size
        except OSError:
            return False
        if found == 0 or found != (size or found):
            return False
    return True


def _step_of(line: bytes) -> float:
    """Return the step of a line of metrics or samples; infinity if the line is damaged."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return math.inf
