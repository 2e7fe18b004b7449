from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534


class LockableFolder:
    """A folder that can be closed to writing, for root too: root acts as nobody while it is closed."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp())  # not tmp_path, whose parents are closed to other users
        self.path.chmod(0o755)

    def lock(self) -> Path:
        for path in self.path.iterdir():
            path.chmod(path.stat().st_mode & 0o444)
        self.path.chmod(0o555)
        if os.getuid() == 0:
            os.seteuid(NOBODY)
        return self.path

    def unlock(self) -> None:
        if os.getuid() == 0:
            os.seteuid(0)
        self.path.chmod(0o755)


@pytest.fixture
def lockable() -> Iterator[LockableFolder]:
    folder = LockableFolder()
    yield folder
    folder.unlock()
    shutil.rmtree(folder.path)
