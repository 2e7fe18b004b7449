"""Reports of runs, written by `publius report` in a process, since drawing one takes seconds."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from core.errors import RunStateError
from core.store.files import os_errors
from publius.studio.runs.processes import command_environment, program

_KEPT = 8
"""Reports that are kept; a run that has gone on gets a new one."""


class RunReports:
    """The reports of a project's runs, in a folder of the studio's own. One is written at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def page(self, run: Path, mark: str) -> str:
        """Return the report of a run: one HTML page with a content policy of its own, which loads nothing.

        Args:
            run: the run folder.
            mark: changes whenever the run has gone on.

        Raises:
            RunStateError: the report cannot be written.
        """
        file = self._folder / f"{run.name}.{mark}.html"
        with self._lock, os_errors(file):
            if not file.is_file():
                self._folder.mkdir(parents=True, exist_ok=True)
                self._write(run, file)
            return file.read_text(encoding="utf-8")

    def _write(self, run: Path, file: Path) -> None:
        command = [*program("report"), str(run), "--to", str(file)]
        written = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=command_environment(), check=False
        )
        if written.returncode != 0 or not file.is_file():
            lines = written.stderr.decode("utf-8", "replace").strip().splitlines()
            raise RunStateError(lines[-1] if lines else "the report could not be written", where=str(run))
        for old in sorted(self._folder.glob("*.html"), key=lambda one: one.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)
