"""The program of docs/library.md runs as it is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engines.loading import ModelFiles
from tests.docs.blocks import blocks_of
from tests.publius.test_cli import REPOSITORY

PAGE = REPOSITORY / "docs" / "library.md"


@pytest.mark.slow
def test_the_blocks_run_in_order_as_one_program(embedded_files: ModelFiles, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text("\n".join(block.text for block in blocks_of(PAGE) if block.language == "python"))
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, program.name], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {"adapter_config.json", "training.json"} <= {
        path.name for path in (tmp_path / "adapter").iterdir()
    }
    said = done.stdout.splitlines()
    assert any(line.startswith("revision:") for line in said)
    assert any(line.startswith("check at-most-60-words") for line in said)
    assert said[-1] == "first"
    assert "train dpo" in done.stderr  # progress is logged, since the page asks for the log
