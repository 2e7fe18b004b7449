"""The number of threads during training."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.training.jobs import train


def test_training_runs_on_the_number_of_threads_that_is_set_and_shows_it(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "publius")
    train("sft", tmp_path / "sft", str(tiny_folder), count=4)
    lines = [record.message for record in caplog.records if record.message.startswith("train sft")]
    assert lines
    assert all("  1 thread" in line for line in lines)  # set by the fixture of this package
