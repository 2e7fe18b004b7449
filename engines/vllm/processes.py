"""Process groups: kill a child process together with all processes that it started, and wait for them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_POLL_S = 0.02


def kill_group(group: int) -> None:
    """Send SIGKILL to every process of a group; do nothing if the group is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM if only zombies are left
        os.killpg(group, signal.SIGKILL)


def living_members(group: int) -> list[int]:
    """Return the ids of the group's running processes, without zombies."""
    processes = Path("/proc")
    if not (processes / "self" / "stat").exists():
        return [group] if _answers(group) else []
    found = []
    for folder in processes.iterdir():
        if folder.name.isdigit():
            state, its_group = _state_and_group(folder)
            if its_group == group and state not in "ZX":
                found.append(int(folder.name))
    return found


def wait_until_gone(group: int, limit_s: float) -> bool:
    """Wait at most `limit_s` seconds until no process of the group runs; return True if none does."""
    end = time.monotonic() + limit_s
    while living_members(group):
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def _state_and_group(folder: Path) -> tuple[str, int]:
    try:
        # The program's name is in brackets and may contain spaces and brackets; state, parent, group follow.
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[2])
    except (OSError, IndexError):  # the process ended in the meantime
        return "X", -1


def _answers(group: int) -> bool:
    """Return True if a signal would reach the group (for systems without /proc; zombies count)."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
