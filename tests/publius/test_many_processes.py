"""Stages in processes of a launcher; those of `--launch` are in test_launch.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.publius.invoking import here
from tests.publius.test_cli import mistakes
from tests.publius.trainable import write_trainable


def test_a_stage_that_cannot_be_shared_is_refused_in_one_line(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")  # another one would silence this process for good
    run_file = write_trainable(tmp_path, tiny_folder, train="[sft]")
    (line,) = mistakes(here("critique", run_file))
    assert "only training stages can run in several processes; this would also run critique" in line
