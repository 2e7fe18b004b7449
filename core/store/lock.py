"""The lock of a record folder: one process writes at a time, and the lock ends with the process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from core.errors import RunStateError, shell_command
from core.store.files import os_errors

_NAME = ".lock"


def lock(folder: Path) -> int:
    """Lock the folder and return the descriptor; the system releases the lock when the process ends.

    Raises:
        RunStateError: Another process is writing to the folder.
    """
    path = folder / _NAME
    with os_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            error = _held(folder, descriptor)
            os.close(descriptor)
            raise error from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor


def require_no_writer(folder: Path) -> None:
    """Raise an error if another process is writing to the folder; for readers of finished work.

    Raises:
        RunStateError: Another process is writing to the folder.
    """
    path = folder / _NAME
    with os_errors(path):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return  # a copy of a folder, or a folder without any records
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _held(folder, descriptor) from None
        finally:
            os.close(descriptor)


def _held(folder: Path, descriptor: int) -> RunStateError:
    holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
    return RunStateError(
        f"another process (PID {holder or 'unknown'}) is writing to this folder",
        where=str(folder),
        accepted="one writer at a time; wait for that process or stop it",
        run=shell_command("ps", "-p", holder) if holder else None,
    )
