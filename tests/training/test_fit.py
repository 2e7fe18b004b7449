"""What a training is told: its steps and its learning rates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.jobs import OPTIM, answered, job
from training.checkpoints import TrainingFolder
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


def test_lines_are_told_apart_by_line_feeds_alone_and_a_torn_character_is_dropped(tmp_path: Path):
    folder = TrainingFolder(tmp_path)
    whole = [{"step": step, "answer": "one\u2028two\x85three"} for step in (1, 2, 3)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in whole)
    (tmp_path / "samples.jsonl").write_bytes(text.encode() + '{"step": 4, "answer": "é'.encode()[:-1])
    folder.rewind("samples.jsonl", 2)
    kept = (tmp_path / "samples.jsonl").read_bytes().decode().removesuffix("\n").split("\n")
    assert [json.loads(line) for line in kept] == whole[:2]
