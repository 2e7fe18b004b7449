"""What a training is told: its steps and its learning rates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.jobs import OPTIM, answered, job
from training.sft import train_sft


@pytest.mark.parametrize(("count", "epochs", "steps"), [(3, 1.0, 1), (8, 1.0, 2), (4, 2.0, 2)])
def test_no_training_is_warm_up_alone(
    tiny_folder: Path, tmp_path: Path, count: int, epochs: float, steps: int
):
    own = job("sft", tmp_path, str(tiny_folder), optim=OPTIM)
    train_sft(answered(count), replace(own, epochs=epochs))
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == steps
    assert max(json.loads(line)["learning_rate"] for line in lines) == pytest.approx(own.learning_rate)
