"""A child process together with all that it starts: told apart by their process group, ended together."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_POLL_S = 0.02


def kill_group(group: int) -> None:
    """Send SIGKILL to every process of a group. A group that is gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM if only zombies are left
        os.killpg(group, signal.SIGKILL)


def living_members(group: int) -> list[int]:
    """Return the ids of the group's processes that still run; a zombie does not."""
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
    """Return whether no process of the group runs any more, waiting for that at most `limit_s` seconds."""
    end = time.monotonic() + limit_s
    while living_members(group):
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def _state_and_group(folder: Path) -> tuple[str, int]:
    try:
        # The name of the program stands in brackets and may hold spaces; state, parent and group follow it.
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[2])
    except (OSError, IndexError):  # it ended while we looked
        return "X", -1


def _answers(group: int) -> bool:
    """Return whether a signal would reach the group (systems without /proc; zombies count)."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
