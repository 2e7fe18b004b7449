"""Vectors on disk by key: hidden states that take a forward pass to compute and seconds to use again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from core.store.files import os_errors, sqlite_errors

_SCHEMA = "CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, value BLOB NOT NULL)"
_REMEDY = "an intact file; if you delete it, the hidden states are computed again"
_AT_ONCE = 500
"""Keys looked up in one statement."""

Vector = NDArray[np.float32]


class VectorStore:
    """Vectors in float32 by key, in one SQLite file; the first vector of a key wins.

    Args:
        path: the file; created if it does not exist.

    Raises:
        RunStateError: if the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._errors = sqlite_errors(path, _REMEDY)
        with os_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._errors:
            self._connection = sqlite3.connect(path)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(_SCHEMA)

    def get(self, keys: Sequence[str]) -> dict[str, Vector]:
        """Return the vectors of those keys that have one."""
        found: dict[str, Vector] = {}
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            with self._errors:
                rows = self._connection.execute(
                    f"SELECT key, value FROM vectors WHERE key IN ({marks})", tuple(some)
                )
                found |= {key: np.frombuffer(value, dtype=np.float32) for key, value in rows}
        return found

    def put(self, vectors: Mapping[str, Vector]) -> None:
        """Store vectors in one transaction: all of them survive the end of the process, or none."""
        rows: Iterable[tuple[str, bytes]] = (
            (key, np.ascontiguousarray(vector, dtype=np.float32).tobytes()) for key, vector in vectors.items()
        )
        with self._errors, self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
