"""Ids on disk, each with its place, for files with more ids than fit in memory."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

from core.store.files import sqlite_errors

_REMEDY = "a writable folder for temporary files (TMPDIR)"
_SCHEMA = """
PRAGMA cache_size = -512;
PRAGMA journal_mode = OFF;
CREATE TABLE ids (id TEXT PRIMARY KEY, place TEXT, times INTEGER) WITHOUT ROWID;
BEGIN;
"""
_COUNT = "INSERT INTO ids VALUES (?, '', 1) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times"


class SeenIds:
    """Ids seen so far. A Python set takes over 100 bytes an id; this takes half a megabyte in all.

    SQLite stores them in a temporary file that it deletes itself, even if the process is killed.
    """

    def __init__(self) -> None:
        self._errors = sqlite_errors(Path("temporary database"), _REMEDY)
        with self._errors:
            self._connection = sqlite3.connect("", isolation_level=None)  # "" is a temporary file
            self._connection.executescript(_SCHEMA)

    def add(self, id: str, place: str = "") -> bool:
        """Add an id with the place where it was seen; return True if it was not in the set.

        Raises:
            RunStateError: The disk is full, or the folder for temporary files is not writable.
        """
        with self._errors:
            return (
                self._connection.execute("INSERT OR IGNORE INTO ids VALUES (?, ?, 0)", (id, place)).rowcount
                > 0
            )

    def times(self, id: str) -> int:
        """Add an id; return how often this was called for it before."""
        with self._errors:
            return int(self._connection.execute(_COUNT, (id,)).fetchone()[0]) - 1

    def place_of(self, id: str) -> str:
        """Return the place with which an id was added; empty if it was not."""
        with self._errors:
            row = self._connection.execute("SELECT place FROM ids WHERE id = ?", (id,)).fetchone()
        return "" if row is None else str(row[0])

    def close(self) -> None:
        """Delete the set."""
        with self._errors:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
