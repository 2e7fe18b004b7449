"""Checkpoints of a training that may be killed at any moment.

    sft/
      job.json                        digest of everything that determines the result
      metrics.jsonl                   one line per optimizer step, and per evaluation
      checkpoints/checkpoint-40/      the newest whole one; being written: .staging/checkpoint-50/
      adapter_model.safetensors, adapter_config.json, training.json      at the end, in this order

A checkpoint is written in `.staging` and renamed when it is whole, so that one of which a kill left a part is
never resumed from. Checkpoints of another job (other data, other settings) are discarded.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import RunStateError
from core.store.files import os_errors, sync_folder, write_atomic

ASIDE = ".adapter.new"
"""Folder in which the adapter is written before it is moved to its place."""
SAMPLES_FILE, CRITIC_FILE = BESIDE = ("samples.jsonl", "critic.safetensors")
"""What PPO leaves besides: answers of each step, and what the critic learned, by parameter."""
_NAME = re.compile(r"checkpoint-([0-9]+)")
_SLACK = 1.2
"""Settings, states and file-system blocks beside the tensors."""


@dataclass(frozen=True)
class TrainingFolder:
    """Where one training keeps its state."""

    path: Path

    @property
    def staging(self) -> Path:
        """Where the checkpoint under way is written."""
        return self.path / ".staging"

    @property
    def checkpoints(self) -> Path:
        """Where whole checkpoints stand."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """One JSON line per optimizer step, and per evaluation."""
        return self.path / "metrics.jsonl"

    def result(self, job: str) -> dict[str, Any] | None:
        """Return what a finished training of this job left in `training.json`, or None if there is none."""
        try:
            result: dict[str, Any] = json.loads((self.path / "training.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return result if result.get("job") == job else None

    def open(self, job: str) -> Path | None:
        """Make ready for a job; return its newest whole checkpoint, if an earlier process left one.

        Raises:
            RunStateError: if the folder cannot be written.
        """
        with os_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.staging, ignore_errors=True)
            marker = self.path / "job.json"
            if not _names(marker, job):
                (self.path / "training.json").unlink(missing_ok=True)
                shutil.rmtree(self.checkpoints, ignore_errors=True)
                for name in (self.metrics.name, *BESIDE):
                    (self.path / name).unlink(missing_ok=True)
                write_atomic(marker, json.dumps({"job": job}) + "\n")
            self.staging.mkdir()
            self.checkpoints.mkdir(exist_ok=True)
            return self.newest()

    def is_saving(self) -> bool:
        """Return whether a checkpoint or the adapter is being written, and not committed yet."""
        under_way = [self.path / ASIDE, *self.staging.glob("checkpoint-*")]
        return any(path.exists() for path in under_way)

    def commit(self, step: int, keep: int | None = None) -> None:
        """Move the checkpoint of a step from staging to where it counts; remove the others but `keep`'s."""
        name = f"checkpoint-{step}"
        with os_errors(self.path):
            for file in (self.staging / name).iterdir():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
            shutil.rmtree(self.checkpoints / name, ignore_errors=True)
            (self.staging / name).rename(self.checkpoints / name)
            sync_folder(self.checkpoints)
            for old in self._all():
                if old.name not in (name, f"checkpoint-{keep}"):
                    shutil.rmtree(old)

    def checkpoint(self, step: int) -> Path:
        """Return where the whole checkpoint of a step stands."""
        return self.checkpoints / f"checkpoint-{step}"

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write `training.json`, which says that the training is complete; remove what resuming needed."""
        write_atomic(self.path / "training.json", json.dumps(result, indent=2) + "\n")
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        shutil.rmtree(self.staging, ignore_errors=True)

    def rewind(self, name: str, step: int) -> None:
        """Drop a file's lines of steps after `step`, and a torn last one: they will be written again."""
        path = self.path / name
        try:
            *lines, _ = path.read_bytes().split(
                b"\n"
            )  # behind the last line's end is nothing, or a torn line
        except FileNotFoundError:
            return
        kept = [line.decode() + "\n" for line in lines if json.loads(line)["step"] <= step]
        write_atomic(path, "".join(kept))

    def require_room(self, trainable_parameters: int) -> None:
        """Refuse to start where the checkpoints and the result do not fit on the disk.

        A checkpoint holds the adapter and two moments of Adam, at most 4 bytes a parameter each; the newest,
        the best and the one being written stand there at once.

        Raises:
            RunStateError: with the room that is needed and the room that there is.
        """
        needed = int(_SLACK * 4 * trainable_parameters * (3 * 3 + 1))
        with os_errors(self.path):
            free = shutil.disk_usage(self.path).free
        if free < needed:
            raise RunStateError(
                f"too little disk for the checkpoints: {free / 2**20:,.0f} MiB free",
                where=str(self.path),
                accepted=f"{needed / 2**20:,.0f} MiB, or a smaller lora.r",
                run=f"df -h {self.path}",
            )

    def newest(self) -> Path | None:
        """Return the newest whole checkpoint, or None if there is none."""
        return max(self._all(), key=lambda path: int(path.name.partition("-")[2]), default=None)

    def _all(self) -> list[Path]:
        return [path for path in self.checkpoints.iterdir() if _NAME.fullmatch(path.name)]


def _names(marker: Path, job: str) -> bool:
    try:
        return bool(json.loads(marker.read_text(encoding="utf-8"))["job"] == job)
    except (OSError, ValueError, KeyError, TypeError):
        return False
