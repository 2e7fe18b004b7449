"""Who has which task on the screen: one each, for some minutes, remembered over a restart.

A task that is on somebody's screen is not given to more people than are wanted. A lease ends by itself, so
that a person who leaves holds nothing up; who comes back before that gets the same task.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from core.errors import RunStateError
from core.store.files import os_errors, write_atomic


class Lease(BaseModel):
    """A task on one person's screen. Times are seconds since 1970."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    served: float
    """When it was first shown to the person; it bounds the time that they can have taken."""
    expires: float


_LEASES = TypeAdapter(dict[str, Lease])


class Leases:
    """The leases of all people, kept in one small file that is replaced at every change."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._seconds = path, seconds
        self._held = _read(path)

    def of(self, annotator: str) -> Lease | None:
        """Return the task that a person was last given and has not decided, expired or not."""
        return self._held.get(annotator)

    def holders(self, task: str, now: float) -> set[str]:
        """Return who holds a task at the time `now`."""
        return {name for name, lease in self._held.items() if lease.task == task and lease.expires > now}

    def take(self, annotator: str, task: str, now: float) -> None:
        """Give a task to a person in place of what they held; the same one again is prolonged."""
        held = self._held.get(annotator)
        served = held.served if held is not None and held.task == task else now
        self._write({**self._held, annotator: Lease(task=task, served=served, expires=now + self._seconds)})

    def release(self, annotator: str) -> None:
        """Take back what a person holds. It is written with the next lease."""
        self._held = {name: lease for name, lease in self._held.items() if name != annotator}

    def _write(self, held: dict[str, Lease]) -> None:
        write_atomic(self._path, _LEASES.dump_json(held))
        self._held = held


def _read(path: Path) -> dict[str, Lease]:
    try:
        with os_errors(path):
            return _LEASES.validate_json(path.read_bytes()) if path.exists() else {}
    except ValidationError as error:
        raise RunStateError(
            "this file does not say who holds which task",
            where=str(path),
            accepted="the file as the page wrote it, or none",
            run=f"rm {path}",
        ) from error
