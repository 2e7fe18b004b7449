"""Runs that the studio started: processes of their own, which outlive the server.

Each has a folder in the studio's own with what was started (`started.json`), what it wrote to standard error
(`log.txt`) and to standard output (`outcome.json`). The process holds a lock on its log as long as it lives.
So a server that was killed and started again finds its runs by their locks, and never mistakes another
process with the same number for one of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from core.errors import DataError
from core.store.files import os_errors, write_atomic
from publius.studio.runs.logs import RunLog, read_log

ProcessState = Literal["running", "finished", "stopped", "failed"]
_STARTED, _LOG, _OUTCOME, _STOPPED = "started.json", "log.txt", "outcome.json", "stopped"


@dataclass(frozen=True)
class StartedRun:
    """A run that was started, and where to find it."""

    id: str
    run_file: str
    """Name of the run file in the project."""
    overrides: tuple[str, ...]
    """Settings in place of those of the file, `a.b=value` each."""
    resume: str | None
    """Name of the run folder to resume; None for a new run, or one that its settings identify."""
    started: str
    """Time in UTC, ISO 8601."""
    pid: int

    @property
    def command(self) -> list[str]:
        """The command in the project's folder, as a user would type it."""
        settings = [part for override in self.overrides for part in ("--set", override)]
        resumed = ["--resume", f"runs/{self.resume}"] if self.resume else []
        return ["publius", "run", self.run_file, *settings, *resumed]


@dataclass(frozen=True)
class SeenRun:
    """A started run as it is now."""

    started: StartedRun
    state: ProcessState
    log: RunLog
    exit_problem: str
    """Last lines of a run that failed; empty otherwise."""

    @property
    def folder(self) -> str | None:
        """Name of its run folder; None as long as it has none."""
        return Path(self.log.folder).name if self.log.folder else self.started.resume

    def as_json(self) -> dict[str, Any]:
        """Return the run as JSON-able values."""
        return {
            "id": self.started.id,
            "run_file": self.started.run_file,
            "overrides": list(self.started.overrides),
            "command": self.started.command,
            "started": self.started.started,
            "state": self.state,
            "folder": self.folder,
            "progress": [step.as_json() for step in self.log.steps],
            "notices": list(self.log.notices),
            "problem": self.exit_problem,
        }


class RunProcesses:
    """The runs that studios have started in a project.

    Args:
        project: folder of the project, in which the command runs.
        folder: folder in which the runs are recorded.
    """

    def __init__(self, project: Path, folder: Path) -> None:
        self._project, self._folder = project, folder
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, run_file: str, overrides: Sequence[str] = (), resume: str | None = None) -> StartedRun:
        """Start `publius run` and return once it is recorded.

        Args:
            run_file: name of a run file in the project.
            overrides: settings in place of those of the file.
            resume: name of a run folder to resume.

        Raises:
            DataError: a name is not one of a file in the project.
            RunStateError: the process cannot be started.
        """
        if Path(run_file).name != run_file or not (self._project / run_file).is_file():
            raise DataError(f"no run file {run_file!r} in the project", where=str(self._project))
        now = datetime.now(UTC)
        identity = now.strftime("%Y%m%d-%H%M%S-%f")
        own = self._folder / identity
        with os_errors(own):
            own.mkdir(parents=True)
        started = StartedRun(
            identity, run_file, tuple(overrides), resume, now.isoformat(timespec="seconds"), 0
        )
        child = self._spawn(own, started)
        self._children[identity] = child
        started = StartedRun(**{**asdict(started), "pid": child.pid})
        write_atomic(own / _STARTED, json.dumps(asdict(started)) + "\n")
        return started

    def stop(self, identity: str) -> None:
        """Interrupt a run as Ctrl-C does; completed work is saved. A run that has ended stays as it is.

        Raises:
            DataError: there is no such run.
        """
        seen = self.seen(identity)
        if seen.state == "running":
            write_atomic(self._folder / identity / _STOPPED, "")
            with contextlib.suppress(ProcessLookupError):  # it may just have ended
                os.killpg(seen.started.pid, signal.SIGTERM)

    def seen(self, identity: str) -> SeenRun:
        """Return a run as it is now. Raises DataError if there is no such run."""
        own = self._folder / identity
        if Path(identity).name != identity or not (own / _STARTED).is_file():
            raise DataError(f"no run {identity!r} was started here")
        started = _read_started(own / _STARTED)
        log = read_log(own / _LOG)
        state = self._state(identity, own)
        return SeenRun(started, state, log, log.problem if state == "failed" else "")

    def all(self) -> list[SeenRun]:
        """Return all runs that were started, newest first."""
        found = sorted(self._folder.glob(f"*/{_STARTED}"), reverse=True)
        return [self.seen(path.parent.name) for path in found]

    def mark(self) -> tuple[object, ...]:
        """Return what changes whenever a run starts, writes a line or ends."""
        folders = sorted(path.parent for path in self._folder.glob(f"*/{_STARTED}"))
        return tuple((own.name, _size(own / _LOG), _is_locked(own / _LOG)) for own in folders)

    def _spawn(self, own: Path, started: StartedRun) -> subprocess.Popen[bytes]:
        command = [*program(*started.command[1:]), "--json"]
        with os_errors(own), (own / _LOG).open("wb") as log, (own / _OUTCOME).open("wb") as outcome:
            fcntl.flock(log, fcntl.LOCK_EX)  # held by the process, which inherits the descriptor
            return subprocess.Popen(
                command,
                cwd=self._project,
                stdin=subprocess.DEVNULL,
                stdout=outcome,
                stderr=log,
                env=command_environment(),
                start_new_session=True,  # neither Ctrl-C of the server nor its end reaches it
            )

    def _state(self, identity: str, own: Path) -> ProcessState:
        child = self._children.get(identity)
        if child is not None:
            child.poll()  # so that no ended process is left over
        if _is_locked(own / _LOG):
            return "running"
        if _has_outcome(own / _OUTCOME):
            return "finished"
        return "stopped" if (own / _STOPPED).exists() else "failed"


def program(*arguments: str) -> list[str]:
    """Return a command of Publius that runs with this interpreter."""
    return [sys.executable, "-m", "publius", *arguments]


def command_environment() -> dict[str, str]:
    """Return the environment of commands: they import this installation, whatever folder the project is."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _has_outcome(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError):
        return False


def _read_started(path: Path) -> StartedRun:
    with os_errors(path):
        content = json.loads(path.read_bytes())
    return StartedRun(**{**content, "overrides": tuple(content["overrides"])})


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
