"""The smoke test for GPUs: emulated on the CPU, run where there is a GPU, skipped in one line elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from training.methods import METHODS

REPOSITORY = Path(__file__).parents[2]


def smoke(*options: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/gpu_smoke.py", *map(str, options)]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    return subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False)


def rows_of(path: Path) -> dict[str, dict[str, Any]]:
    return {row["row"]: row for row in json.loads(path.read_text())["results"]}


@pytest.mark.slow
def test_without_a_gpu_one_line_says_why_nothing_was_run():
    done = smoke(CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    assert line.startswith("skipped: torch ")
    assert "finds no CUDA device" in line


@pytest.mark.long
def test_every_method_and_the_engine_run_on_the_cpu(tmp_path: Path):
    done = smoke("--device", "cpu", "--json", tmp_path / "rows.json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = rows_of(tmp_path / "rows.json")
    assert list(rows) == ["generate transformers", *METHODS]
    assert all(row["peak_gib"] > 0.1 for row in rows.values())
    assert rows["generate transformers"]["ratio"] > 0


@pytest.mark.long
def test_a_row_that_fails_is_named_and_the_others_run(tmp_path: Path):
    done = smoke("--device", "cpu", "--only", "unknown", "sft", "--json", tmp_path / "rows.json")
    assert done.returncode == 1
    assert "unknown                  failed: " in done.stdout
    rows = rows_of(tmp_path / "rows.json")
    assert (rows["unknown"]["ok"], rows["sft"]["ok"]) == (False, True)


@pytest.mark.gpu
@pytest.mark.long
def test_every_row_runs_on_a_gpu(tmp_path: Path):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    done = smoke("--json", tmp_path / "rows.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(METHODS) <= rows_of(tmp_path / "rows.json").keys()
