"""The runs of the project as the page shows them, and what it may do with them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.digests import digest
from core.errors import DataError, PubliusError
from core.notices import warn
from publius.runs.manifest import MANIFEST
from publius.studio.project import STATE_FOLDER, StudioProject, file_kind
from publius.studio.runs.listing import RUNS_FOLDER, run_source, runs_mark, studio_runs
from publius.studio.runs.processes import RunProcesses
from publius.studio.runs.reports import RunReports
from publius.studio.runs.views import RunViews

WATCH_S = 0.7
"""Seconds between two looks at the runs."""
MOST_COMPARED = 8
_ENDED_SHOWN = 5
"""Ended processes that the page lists, beside all that run."""


class RunBoard:
    """The runs of a project. Thread-safe.

    Args:
        project: the project.
        views: readings of runs by the report's code.
        publish: called with a topic and its content when the runs have changed.
    """

    def __init__(
        self, project: StudioProject, views: RunViews, publish: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self._project, self._views, self._publish = project, views, publish
        self._processes = RunProcesses(project.folder, project.folder / STATE_FOLDER / "runs")
        self._reports = RunReports(project.folder / STATE_FOLDER / "reports")
        self._lock = threading.Lock()
        self._seen: object = None
        self._comparisons: dict[object, dict[str, Any]] = {}

    def shown(self) -> dict[str, Any]:
        """Return the list of runs and the processes as the page shows them."""
        folder, files = self._project.folder, run_files(self._project)
        with self._lock:
            processes = self._processes.all()
            found = studio_runs(folder)
        runs = [run.as_json() for run in found]
        running = [seen for seen in processes if seen.state == "running"]
        ended = [seen for seen in processes if seen.state != "running"][:_ENDED_SHOWN]
        by_folder = {seen.folder: seen.started.id for seen in running}
        for run, listed in zip(runs, found, strict=True):
            run["process"] = by_folder.get(run["run"])
            run["source"] = run_source(folder, listed, files) if listed.state == "unfinished" else None
        return {
            "runs": runs,
            "processes": [seen.as_json() for seen in (*running, *ended)],
            "run_files": files,
        }

    def start(self, run_file: str, overrides: Sequence[str], resume: str | None = None) -> str:
        """Start or resume a run and return the id of its process.

        Raises:
            DataError: there is no such run file, or no such run to resume.
        """
        if resume is not None:
            self.folder(resume)
        with self._lock:
            started = self._processes.start(run_file, overrides, resume)
        self.look()
        return started.id

    def stop(self, identity: str) -> None:
        """Stop a process as Ctrl-C does. Raises DataError if it was not started here."""
        with self._lock:
            self._processes.stop(identity)
        self.look()

    def curves(self, run: str) -> list[dict[str, Any]]:
        """Return the curves of a run's trainings. Raises DataError if there is no such run."""
        return self._views.training_curves(self.folder(run))

    def compared(self, runs: Sequence[str]) -> dict[str, Any]:
        """Return runs side by side.

        Raises:
            DataError: there is no such run, or too many are compared.
        """
        names = list(dict.fromkeys(runs))
        if not 1 <= len(names) <= MOST_COMPARED:
            raise DataError(f"{len(names)} runs to compare", accepted=f"1 to {MOST_COMPARED} runs")
        folders = [self.folder(name) for name in names]
        key = (tuple(names), *(runs_mark(self._project.folder, name) for name in names))
        if key not in self._comparisons:
            found = self._views.side_by_side(folders)
            self._comparisons = {key: found}  # only the last one: the page asks for it again and again
        return self._comparisons[key]

    def report(self, run: str) -> str:
        """Return the report of a run as a page.

        Raises:
            DataError: there is no such run.
            RunStateError: the report cannot be written.
        """
        folder = self.folder(run)
        return self._reports.page(folder, digest(runs_mark(self._project.folder, folder.name))[:16])

    def folder(self, run: str) -> Path:
        """Return the folder of a run. Raises DataError if the project has no such run."""
        folder = self._project.folder / RUNS_FOLDER / run
        if Path(run).name != run or run in ("", ".", "..") or not (folder / MANIFEST).is_file():
            raise DataError(f"no run {run!r} in the project", accepted="a folder in runs/")
        return folder

    def look(self) -> None:
        """Publish the runs if they have changed since the last look."""
        mark = (self._processes.mark(), runs_mark(self._project.folder))
        if mark != self._seen:
            self._seen = mark
            self._publish("runs", self.shown())

    def watch(self, stopped: threading.Event) -> None:
        """Look at the runs until stopped."""
        told = ""
        while not stopped.wait(WATCH_S):
            try:
                self.look()
            except (PubliusError, OSError) as error:
                if str(error) != told:
                    warn(f"the runs cannot be watched: {error}")
                told = str(error)


def run_files(project: StudioProject) -> list[str]:
    """Return the names of the project's run files, the one of the studio first."""
    own = [project.run_file.name] if project.run_file is not None else []
    found = []
    for path in sorted(project.folder.glob("*.y*ml")):
        try:
            if file_kind(path, path.read_text(encoding="utf-8")) == "run":
                found.append(path.name)
        except (OSError, UnicodeDecodeError):
            continue
    return list(dict.fromkeys((*own, *found)))
