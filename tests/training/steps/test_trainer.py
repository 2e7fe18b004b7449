"""Optimizer steps: their rows, and unfinished trainings of another version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engines.adapter import WEIGHTS
from tests.training.jobs import BY_EXAMPLES, train
from training.checkpoints import TrainingFolder


def steps_of(rows: int, batch_size: int, seed: int = 0, epoch: int = 0) -> list[list[int]]:
    from training.steps.trainer import _StepLoader

    loader = _StepLoader(list(range(rows)), batch_size, seed)
    loader.set_epoch(epoch)
    return [batch["rows"] for batch in loader]


@pytest.mark.parametrize(("rows", "batch"), [(128, 64), (17, 4), (3, 64), (130, 12)])
def test_each_step_has_exactly_batch_size_rows_and_the_last_one_the_rest(rows: int, batch: int):
    steps = steps_of(rows, batch)
    assert {len(step) for step in steps[:-1]} <= {batch}
    assert len(steps[-1]) == (rows % batch or batch)
    assert sorted(row for step in steps for row in step) == list(range(rows))


def test_order_of_rows_follows_from_seed_and_epoch():
    assert steps_of(40, 8) == steps_of(40, 8)
    assert steps_of(40, 8) != steps_of(40, 8, seed=1)
    assert steps_of(40, 8) != steps_of(40, 8, epoch=1)


@pytest.mark.parametrize("method", BY_EXAMPLES)
def test_unfinished_training_of_older_steps_starts_again_and_a_finished_one_is_reused(
    method: Any, tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    whole = train(method, tmp_path / "whole", str(tiny_folder), count=8)
    finished = json.loads((whole.folder / "training.json").read_text())
    # As an older version left it: killed after a checkpoint, with a marker that names the job alone.
    older = TrainingFolder(tmp_path / "older")
    older.open(finished["job"])
    (older.path / "job.json").write_text(json.dumps({"job": finished["job"]}) + "\n")
    (older.checkpoints / "checkpoint-2").mkdir()
    (older.checkpoints / "checkpoint-2" / "trainer_state.json").write_text('{"log_history": []}')
    caplog.set_level("INFO", logger="publius")
    again = train(method, older.path, str(tiny_folder), count=8)
    assert f"{method} training starts again" in caplog.text
    assert (again.folder / WEIGHTS).read_bytes() == (whole.folder / WEIGHTS).read_bytes()
    # Finished by an older version: its marker names the job alone too.
    (older.path / "job.json").write_text(json.dumps({"job": finished["job"]}) + "\n")
    before = (older.path / WEIGHTS).stat().st_mtime_ns
    assert train(method, older.path, str(tiny_folder), count=8).seconds == 0
    assert (older.path / WEIGHTS).stat().st_mtime_ns == before
