"""A folder with people's judgments: `judgments.jsonl`, and `comparisons.jsonl` with what they are about."""

from __future__ import annotations

from pathlib import Path

from core.digests import digest, file_digest
from core.errors import DataError
from core.store.files import is_there, os_errors

_FILES = ("comparisons.jsonl", "judgments.jsonl")


def require_judgments(folder: Path) -> None:
    """Refuse a folder without judgments.

    Raises:
        DataError: there is no such folder, or no `judgments.jsonl` in it.
    """
    if not is_there(folder / "judgments.jsonl"):
        what = "holds no judgments.jsonl" if is_there(folder) else "no such folder"
        raise DataError(
            what,
            where=str(folder),
            accepted="a folder of people's judgments, or a run",
            run="publius import labels FILE --format F --to DIR",
        )


def annotations_digest(folder: Path) -> str:
    """Return the digest of a folder's comparisons and judgments. Raises DataError if it has no judgments."""
    require_judgments(folder)
    with os_errors(folder):
        return digest(*(file_digest(folder / name) for name in _FILES if (folder / name).exists()))
