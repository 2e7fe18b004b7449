"""Label folders: human judgments in `judgments.jsonl`, their comparisons in `comparisons.jsonl`."""

from __future__ import annotations

from pathlib import Path

from core.digests import digest, file_digest
from core.errors import DataError
from core.store.files import is_there, os_errors

_FILES = ("comparisons.jsonl", "judgments.jsonl")


def require_judgments(folder: Path) -> None:
    """Raise DataError if a folder does not exist or has no `judgments.jsonl`."""
    if not is_there(folder / "judgments.jsonl"):
        what = "the folder has no judgments.jsonl" if is_there(folder) else "no such folder"
        raise DataError(
            what,
            where=str(folder),
            accepted="a label folder or a run folder",
            run="publius import labels FILE --format F --to DIR",
        )


def annotations_digest(folder: Path) -> str:
    """Return the digest of a folder's comparisons and judgments. Raises DataError if it has no judgments."""
    require_judgments(folder)
    with os_errors(folder):
        return digest(*(file_digest(folder / name) for name in _FILES if (folder / name).exists()))
