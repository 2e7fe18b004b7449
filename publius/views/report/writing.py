"""`publius report`: write the page about runs and trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import RunStateError
from core.notices import warn
from core.store.files import is_there, os_errors, write_atomic
from publius.runs.folder import package_versions
from publius.views.report.contents import ReportContents, read_contents
from publius.views.report.page import GENERATOR, render_page
from publius.views.report.reading.sources import open_sources

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


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written."""

    file: Path
    size_bytes: int
    contents: ReportContents

    def as_json(self) -> dict[str, Any]:
        """Return the file, its size and all figures as JSON-able values."""
        return {"file": str(self.file), "size_bytes": self.size_bytes, **self.contents.book.as_json()}


def write_report(request: ReportRequest) -> WrittenReport:
    """Write a report and return it.

    Raises:
        RunStateError: if a folder is neither a run nor a training, or the file is something else.
        DataError: if a record file is damaged.
    """
    file = _target(request.folders, request.to)
    _require_replaceable(file)
    with open_sources(request.folders) as sources:
        contents = read_contents(sources, request.prompts)
        if contents.install is not None:
            warn(f"the report has no plots: matplotlib is not installed; run: {contents.install}")
        created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        page = render_page(contents, created, package_versions()["publius"]).encode("utf-8", "replace")
    with os_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, page)
    return WrittenReport(file, len(page), contents)


def _target(folders: Sequence[Path], to: Path | None) -> Path:
    if to is not None:
        return to
    return (folders[0] if len(folders) == 1 else Path()) / REPORT_FILE


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
