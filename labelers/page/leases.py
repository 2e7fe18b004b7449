"""Leases: the task on each annotator's screen, at most one each, for some minutes, stored across restarts.

Annotators who have a task on the screen count towards the number wanted for it, so it is not given to too
many. A lease expires, so an annotator who leaves does not block the task; one who returns in time gets the
same task again.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from core.errors import RunStateError
from core.store.files import os_errors, write_atomic


class Lease(BaseModel):
    """A task on one annotator's screen. Times are seconds since 1970."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    served: float
    """When it was first shown to the annotator; the upper bound of the time taken is derived from it."""
    expires: float


_LEASES = TypeAdapter(dict[str, Lease])


class Leases:
    """The leases of all annotators, stored in one small file that is replaced at every change."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._seconds = path, seconds
        self._held = _read(path)

    def of(self, annotator: str) -> Lease | None:
        """Return the lease of an annotator's last undecided task, expired or not."""
        return self._held.get(annotator)

    def holders(self, task: str, now: float) -> set[str]:
        """Return the annotators who hold a task at the time `now`."""
        return {name for name, lease in self._held.items() if lease.task == task and lease.expires > now}

    def take(self, annotator: str, task: str, now: float) -> None:
        """Lease a task to an annotator and end their previous lease; leasing the same task extends it."""
        held = self._held.get(annotator)
        served = held.served if held is not None and held.task == task else now
        self._write({**self._held, annotator: Lease(task=task, served=served, expires=now + self._seconds)})

    def release(self, annotator: str) -> None:
        """End an annotator's lease. The file is updated with the next lease."""
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
            "this file does not contain valid task leases",
            where=str(path),
            accepted="an intact file, or no file",
            run=f"rm {path}",
        ) from error
