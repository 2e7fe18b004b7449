"""Ten thousand constitutions that went wrong by chance: loaded or refused, and nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MAX_KIB = 500 * 1024


@pytest.mark.slow
def test_no_mutant_hangs_or_ends_in_anything_but_an_error_of_ours(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "tests.constitution.mutants", str(tmp_path), "10000"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert done.returncode != -signal.SIGPROF, f"hangs: {files}"
    assert done.returncode == 0, f"{done.stderr}\n{files}"
    found = json.loads(done.stdout)
    assert found["loaded"] + found["refused"] == 10_000
    assert min(found["loaded"], found["refused"]) > 500
    assert found["peak_kib"] < MAX_KIB
