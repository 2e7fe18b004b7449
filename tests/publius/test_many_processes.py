"""A training of a run shared between processes by `accelerate launch`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from publius.stages.runner import RunRequest, execute
from tests.publius.test_cli import REPOSITORY
from tests.publius.trainable import roomy, write_trainable
from tests.training.test_processes import ACCELERATE

pytestmark = pytest.mark.slow  # each process imports torch and loads a model


def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run publius in two processes."""
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [*ACCELERATE, "-m", "publius", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=600)


def test_two_processes_train_a_run_and_only_the_first_one_speaks(tiny_folder: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, roomy(tiny_folder, tmp_path / "model"), train="[sft]")
    folder = execute(RunRequest(run_file, stages=("critique",))).folder
    done = launch("train", "sft", str(run_file), "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)  # one JSON document: the second process prints none
    assert Path(summary["run"]) == folder
    assert (folder / "sft" / "training.json").is_file()
    assert (folder / "sft" / "README.md").is_file()
    assert done.stderr.count("run folder") == 1


def test_a_stage_that_cannot_be_shared_is_refused_in_one_line(tiny_folder: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, roomy(tiny_folder, tmp_path / "model"), train="[sft]")
    done = launch("critique", str(run_file))
    assert done.returncode != 0
    assert "only training stages can run in several processes; this would also run critique" in done.stderr
