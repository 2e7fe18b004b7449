"""`publius report`: write the page about runs and trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import RunStateError
from core.notices import note, warn
from core.store.files import is_there, os_errors, write_atomic
from publius.runs.manifest import MANIFEST, package_versions, usable_manifest
from publius.views.report.contents import ReportContents, read_contents
from publius.views.report.page import GENERATOR, render_page
from publius.views.report.reading.sources import open_sources
from publius.views.report.saving.figures import COMPARED, DIFFERENCES, TABLE, chosen_titles, save_figures

REPORT_FILE = "report.html"
DEFAULT_PROMPTS = 200
"""Prompts of each kind whose answers are on the page."""
_HEAD = 4096
"""Bytes of a file in which a report names its generator."""


@dataclass(frozen=True)
class ReportRequest:
    """A report to write."""

    folders: tuple[Path, ...]
    """Run folders and training folders."""
    to: Path | None = None
    """The file; `report.html` in the folder of a single run or training, or in the current folder."""
    prompts: int = DEFAULT_PROMPTS
    asks_for_numbers: bool = False
    """True if only numbers are asked for (`--json`): a page of several runs is then written only to `to`."""
    figures: Path | None = None
    """Folder for the plots as files and the tables of measures; None to write none."""
    measures: tuple[str, ...] = ()
    """Measures in `figures`, by name or title, corrected for their own number; empty for all."""


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written."""

    file: Path | None
    """None if no page was asked for."""
    size_bytes: int
    contents: ReportContents
    figures: tuple[Path, ...] = ()
    """Files of plots and tables of measures."""
    figures_folder: Path | None = None
    """Their folder; None if none were asked for."""

    @property
    def mains(self) -> tuple[tuple[str, Path], ...]:
        """The table and the figure that show the result, each with what it is; those that were written."""
        comparison, folder = self.contents.comparison, self.figures_folder
        figure = f"{COMPARED}{comparison.variants[0]}" if comparison and comparison.variants else DIFFERENCES
        found = (("table", f"{TABLE}.md"), ("figure", f"{figure}.pdf"))
        return tuple(
            (what, path) for what, name in found if folder and (path := folder / name) in self.figures
        )

    def as_json(self) -> dict[str, Any]:
        """Return the file, its size, the alarms and all figures as JSON-able values."""
        alarms = [
            {"kind": alarm.kind, "where": alarm.where, "text": alarm.text, "runs": runs}
            for alarm, runs in self.contents.alarms.items()
        ]
        figures = self.contents.book.as_json()
        if self.figures:
            mains = {what: str(path) for what, path in self.mains}
            figures = {"saved": [str(path) for path in self.figures], "saved_first": mains, **figures}
        file = None if self.file is None else str(self.file)
        return {"file": file, "size_bytes": self.size_bytes, "alarms": alarms, **figures}


def write_report(request: ReportRequest) -> WrittenReport:
    """Write a report and return it.

    Raises:
        RunStateError: if a folder is neither a run nor a training, or the file is something else.
        DataError: if a record file is damaged.
    """
    file = _target(request)
    if file is not None:
        _require_replaceable(file)
    with open_sources(oldest_first(request.folders)) as sources:
        contents = read_contents(sources, request.prompts)
        saved = () if request.figures is None else save_figures(contents, request.figures, request.measures)
        if request.measures:
            contents = replace(contents, tables_of=chosen_titles(contents, request.measures))
        if file is None:
            note("no page is written: --json with several folders writes one only with --to FILE")
            return WrittenReport(None, 0, contents, saved, request.figures)
        if contents.install is not None:
            warn(f"the report has no plots: matplotlib is not installed; run: {contents.install}")
        created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        page = render_page(contents, created, package_versions()["publius"]).encode("utf-8", "replace")
    with os_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, page)
    return WrittenReport(file, len(page), contents, saved, request.figures)


def oldest_first(folders: Sequence[Path]) -> Sequence[Path]:
    """Return runs of one name by age if they are in the order of their names, as a shell's `*` gives them.

    The names end in hashes, whose order says nothing. Any other order is the user's, and kept.
    """
    stems = {(folder.parent, folder.name.rpartition("-")[0]) for folder in folders}
    names = [folder.name for folder in folders]
    if len(folders) < 2 or len(stems) > 1 or names != sorted(names):
        return folders
    created = {folder: _created(folder) for folder in folders}
    return sorted(folders, key=lambda folder: created[folder]) if all(created.values()) else folders


def _created(folder: Path) -> str:
    """Return when a run was begun, as its manifest says in ISO format; empty if none can be read."""
    return str((usable_manifest(folder / MANIFEST) or {}).get("created", ""))


def _target(request: ReportRequest) -> Path | None:
    """Return the file of the page; None if several runs are read and only numbers are asked for."""
    if request.to is not None:
        return request.to
    if len(request.folders) == 1:
        return request.folders[0] / REPORT_FILE
    return None if request.asks_for_numbers else Path(REPORT_FILE)


def _require_replaceable(file: Path) -> None:
    """Raise RunStateError if a file exists and is not an older report."""
    if not is_there(file):
        return
    accepted = "a new file, or a report to replace"
    if file.is_dir():
        raise RunStateError("is a folder", where=f"--to {file}", accepted=accepted)
    with os_errors(file), file.open("rb") as opened:
        head = opened.read(_HEAD)
    if GENERATOR.encode() not in head:
        raise RunStateError("the file exists and is not a report", where=f"--to {file}", accepted=accepted)
