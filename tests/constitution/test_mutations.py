"""Constitutions that went wrong by chance: loaded or refused, and nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MAX_KIB = 500 * 1024


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_no_mutant_hangs_or_ends_in_anything_but_an_error_of_ours(tmp_path, count):
    command = [sys.executable, "-W", "error", "-m", "tests.constitution.mutants", str(tmp_path), str(count)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert done.returncode != -signal.SIGPROF, f"hangs: {files}"
    assert done.returncode == 0, f"{done.stderr}\n{files}"
    found = json.loads(done.stdout)
    assert found["loaded"] + found["refused"] == count
    assert min(found["loaded"], found["refused"]) > count // 20
    assert found["peak_kib"] < MAX_KIB
