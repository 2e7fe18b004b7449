"""One process writes in a folder; a reader of finished work can ask whether one does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import RunStateError
from core.store.lock import lock, require_no_writer


def test_folder_that_is_written_in_is_refused_to_writers_and_to_readers_of_finished_work(tmp_path: Path):
    held = lock(tmp_path)
    for ask in (lock, require_no_writer):
        with pytest.raises(RunStateError, match=rf"another process \(PID {os.getpid()}\) is writing"):
            ask(tmp_path)
    os.close(held)
    require_no_writer(tmp_path)
    os.close(lock(tmp_path))


def test_asking_leaves_the_folder_as_it_is_and_needs_no_right_to_write(tmp_path: Path):
    require_no_writer(tmp_path)
    assert list(tmp_path.iterdir()) == []
    os.close(lock(tmp_path))
    written = (tmp_path / ".lock").read_bytes()
    (tmp_path / ".lock").chmod(0o444)
    require_no_writer(tmp_path)
    assert (tmp_path / ".lock").read_bytes() == written
    os.close(lock(tmp_path))  # asking holds nothing
