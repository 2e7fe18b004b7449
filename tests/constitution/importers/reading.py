"""Imports for tests: what a file says, without a file written."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from constitution.importers.reading import Reading
from constitution.importers.registry import read_source
from core.errors import PubliusError

EXAMPLES = Path(__file__).parents[3] / "examples" / "constitutions"


def read(path: Path, name: str = "auto", **columns: str) -> tuple[list[dict[str, Any]], Reading]:
    """Return the principles of a file in full form, and all else that was found."""
    imported = read_source(path, name, columns)
    return imported.reading.written(imported.form.summary), imported.reading


def form_of(path: Path) -> str:
    return read_source(path).form.name


def counts(reading: Reading) -> dict[str, int]:
    return {reason: found.count for reason, found in reading.skipped.items()}


def refusal(path: Path, name: str = "auto", **columns: str) -> str:
    """Return the lines that a file is refused with, without the folder; nothing if it is read."""
    with contextlib.suppress(PubliusError):
        read(path, name, **columns)
        return ""
    try:
        read(path, name, **columns)
    except PubliusError as error:
        return str(error).replace(f"{path.parent}/", "")
    raise AssertionError
