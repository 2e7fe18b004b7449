"""What a training against rewards writes down as it goes: figures, and a few answers of each step."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.store.files import os_errors
from training.checkpoints import SAMPLES, TrainingFolder
from training.rl.rollouts import Rollout

_SHOWN = 3
"""Answers of each step that are written down."""


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append a JSON line to a file. Raises RunStateError if the disk is full."""
    with os_errors(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def write_samples(
    folder: TrainingFolder, step: int, rollouts: Sequence[Rollout], totals: Sequence[float | None]
) -> None:
    """Append the first answers of a step, with what they earned, to the folder's samples."""
    for rollout, total in list(zip(rollouts, totals, strict=True))[:_SHOWN]:
        row = {
            "step": step,
            "prompt": rollout.prompt.prompt.messages[-1].content,
            "answer": rollout.text,
            "finished": rollout.drawn.finished,
            "reward": total,
            "scores": rollout.scores,
        }
        append_row(folder.path / SAMPLES, row)
