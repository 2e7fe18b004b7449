"""Mistakes and findings of a text that is being edited, each with its line and column."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from constitution.lint.linter import lint_report
from constitution.loader import LoadedConstitution, read_constitution
from core.errors import ConfigError, Problem, PubliusError
from publius.config.run_file import load_run_config
from publius.studio.project import FileKind

_PLACE = re.compile(r"^(.*?)(?::(\d+))?(?::(\d+))?$")


@dataclass(frozen=True)
class Diagnostic:
    """A mistake or finding, at a place of the edited text."""

    line: int
    """From 1."""
    column: int
    """From 1."""
    severity: str
    """`error`, `warning` or `note`."""
    code: str
    """The lint code; empty for a mistake."""
    what: str
    hint: str
    """What is accepted instead, or how to fix it."""

    def as_json(self) -> dict[str, Any]:
        """Return the diagnostic as JSON-able values."""
        return asdict(self)


@dataclass(frozen=True)
class Linted:
    """A text with its diagnostics, and the constitution that it is, if it is a valid one."""

    diagnostics: tuple[Diagnostic, ...]
    loaded: LoadedConstitution | None = None


def linted(path: Path, kind: FileKind, text: str) -> Linted:
    """Return the diagnostics of a text that is to become the content of a file."""
    try:
        if kind == "constitution":
            loaded = read_constitution(path, {path: text})
            return Linted(tuple(_findings(loaded, path)), loaded)
        if kind == "run":
            load_run_config(path, unsaved=text)
    except PubliusError as error:
        return Linted(tuple(_of_problem(problem, path) for problem in error.problems))
    return Linted(())


def as_loaded(main: Path, edited: Path, text: str) -> LoadedConstitution | None:
    """Return the project's constitution with a text in place of one of its files; None if it is not valid."""
    try:
        return read_constitution(main, {edited: text})
    except ConfigError:
        return None


def principle_at(loaded: LoadedConstitution, edited: Path, line: int) -> str | None:
    """Return the id of the principle that is written on a line of a file; None if there is none.

    Args:
        loaded: the constitution.
        edited: the file, which may be one that the constitution extends.
        line: the line, from 1.
    """
    document, found = loaded.document, None
    for number, principle in enumerate(loaded.constitution.principles):
        mark = document.mark(("principles", number))
        if (mark.path or document.path) == edited and mark.line <= line:
            found = max(found or (0, ""), (mark.line, principle.id))
    return found[1] if found else None


def _findings(loaded: LoadedConstitution, path: Path) -> Iterator[Diagnostic]:
    for finding in lint_report(loaded).findings:
        line, column, elsewhere = _place(finding.where, path)
        yield Diagnostic(line, column, finding.severity, finding.code, elsewhere + finding.what, finding.hint)


def _of_problem(problem: Problem, path: Path) -> Diagnostic:
    line, column, elsewhere = _place(problem.where or "", path)
    return Diagnostic(line, column, "error", "", elsewhere + problem.what, problem.accepted or "")


def _place(where: str, path: Path) -> tuple[int, int, str]:
    """Return line and column in the edited file, and what to say of a place in another one."""
    match = _PLACE.match(where)
    if match is None or not match[2] or Path(match[1]).name != path.name:
        return 1, 1, f"{where}: " if where and Path(where).name != path.name else ""
    return int(match[2]), int(match[3] or 1), ""
