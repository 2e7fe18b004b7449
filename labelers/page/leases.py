"""Leases: the task on each annotator's screen, at most one each, for some minutes, stored across restarts.

Annotators who have a task on the screen count towards the number wanted for it, so it is not given to too
many. A lease expires, so an annotator who leaves does not block the task; one who returns in time gets the
same task again.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from core.errors import RunStateError, shell_command
from core.store.files import os_errors, write_atomic


class Lease(BaseModel):
    """A task on one annotator's screen. Times are seconds since 1970."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    served: float
    """When it was first shown to the annotator; the upper bound of the time taken is derived from it."""
    expires: float


_LEASES = TypeAdapter(dict[str, Lease])
_CHANGES = 1000
"""Lines of changes after which the file is written again without outdated ones."""


class Leases:
    """The leases of all annotators, in a small file to which each change is appended.

    A line is a JSON object from annotators to leases; the last lease of an annotator counts. The lines are
    not synced: after a power cut, an annotator may get another task than the one on the screen.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._seconds = path, seconds
        self._held = _read(path)
        self._on: dict[str, set[str]] = {}
        """Annotators by the task that they hold, expired or not."""
        self._due = [(lease.expires, name) for name, lease in self._held.items()]
        heapq.heapify(self._due)
        for name, lease in self._held.items():
            self._on.setdefault(lease.task, set()).add(name)
        self._lines = _CHANGES + len(self._held) if path.exists() else 0

    def of(self, annotator: str) -> Lease | None:
        """Return the lease of an annotator's last undecided task, expired or not."""
        return self._held.get(annotator)

    def holders(self, task: str, now: float) -> set[str]:
        """Return the annotators who hold a task at the time `now`."""
        return {name for name in self._on.get(task, ()) if self._held[name].expires > now}

    def take(self, annotator: str, task: str, now: float) -> list[str]:
        """Lease a task to an annotator and end their previous lease; leasing the same task extends it.

        Returns:
            The tasks whose holders changed.
        """
        held = self._held.get(annotator)
        served = held.served if held is not None and held.task == task else now
        lease = Lease(task=task, served=served, expires=now + self._seconds)
        self._append(annotator, lease)
        ended = self.release(annotator)
        self._held[annotator] = lease
        self._on.setdefault(task, set()).add(annotator)
        heapq.heappush(self._due, (lease.expires, annotator))
        return [*ended, task]

    def release(self, annotator: str) -> list[str]:
        """End an annotator's lease and return its task, if there is one. The file keeps the ended lease."""
        held = self._held.pop(annotator, None)
        if held is None:
            return []
        self._on[held.task].discard(annotator)
        if not self._on[held.task]:
            del self._on[held.task]
        return [held.task]

    def expired(self, now: float) -> list[str]:
        """Return the tasks of the leases that have expired since the last call."""
        tasks = []
        while self._due and self._due[0][0] <= now:
            expires, name = heapq.heappop(self._due)
            lease = self._held.get(name)
            if lease is not None and lease.expires == expires:
                tasks.append(lease.task)
        return tasks

    def _append(self, annotator: str, lease: Lease) -> None:
        if self._lines >= _CHANGES + len(self._held):
            write_atomic(self._path, _LEASES.dump_json({**self._held, annotator: lease}) + b"\n")
            self._lines = 0
            return
        with os_errors(self._path):
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(file, _LEASES.dump_json({annotator: lease}) + b"\n")
            finally:
                os.close(file)
        self._lines += 1


def _read(path: Path) -> dict[str, Lease]:
    with os_errors(path):
        lines = path.read_bytes().splitlines() if path.exists() else []
    held: dict[str, Lease] = {}
    for line in _whole(lines):
        try:
            held.update(_LEASES.validate_json(line))
        except ValidationError as error:
            raise RunStateError(
                "this file does not contain valid task leases",
                where=str(path),
                accepted="an intact file, or no file",
                run=shell_command("rm", path),
            ) from error
    return held


def _whole(lines: list[bytes]) -> Iterable[bytes]:
    """Return the lines without a last one that a kill tore."""
    if len(lines) > 1 and not lines[-1].endswith(b"}"):
        return lines[:-1]
    return lines
