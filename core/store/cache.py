"""The request cache: every answer of a model, shared by all runs of a project.

One SQLite file in write-ahead mode. Several processes can read and write it at once. The first answer to a
key wins. Once `put` has returned, the answer survives the death of the process.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from core.errors import RunStateError
from core.store.files import is_busy, os_errors, sqlite_errors

_SCHEMA_VERSION = 1

_BUSY_TIMEOUT_S = 30.0
_REMEDY = "an intact cache; if you delete the file, every request is sent to the models again"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,
    operation TEXT NOT NULL,
    value TEXT NOT NULL
)
"""


class RequestCache:
    """Answers by request key. Values are text; the caller encodes and decodes them.

    Safe to use from several threads and several processes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._errors = sqlite_errors(path, _REMEDY)
        with os_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._errors:
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._errors:
                _prepare(self._connection, path)
        except RunStateError:
            self._connection.close()
            raise

    def get(self, key: str) -> str | None:
        """Return the answer stored under `key`, or None."""
        with self._lock, self._errors:
            row = self._connection.execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, operation: str, value: str) -> None:
        """Store an answer unless the key already has one, from this or another process."""
        with self._lock, self._errors:
            self._connection.execute(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", (key, operation, value)
            )

    def replace(self, key: str, unusable: str, value: str) -> None:
        """Store an answer in place of one that cannot be used, unless another process replaced it already."""
        with self._lock, self._errors:
            self._connection.execute(
                "UPDATE answers SET value = ? WHERE key = ? AND value = ?", (value, key, unusable)
            )

    def __len__(self) -> int:
        with self._lock, self._errors:
            return int(self._connection.execute("SELECT COUNT(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        """Close the file. Answers are already stored when `put` returns."""
        with self._lock, self._errors:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Create the schema in a new file, or check the schema version of an existing one.

    Raises:
        RunStateError: Another version of Publius wrote the file with another schema version.
    """
    _switch_to_write_ahead(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    if _schema_version(connection) == 0:
        with _exclusive(connection):
            # Another process may have created the schema meanwhile; then these statements change nothing.
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
    found = _schema_version(connection)
    if found != _SCHEMA_VERSION:
        raise RunStateError(
            f"the cache has schema version {found}",
            where=str(path),
            accepted=f"version {_SCHEMA_VERSION}; use the newer Publius that wrote it, or another cache file",
        )
    # Damage often spares the first page. Reading one row also checks the root page of the answers.
    connection.execute("SELECT value FROM answers LIMIT 1").fetchone()


def _switch_to_write_ahead(connection: sqlite3.Connection) -> None:
    """Set write-ahead mode, and wait for other processes that are opening the same new file.

    SQLite does not apply its busy timeout to this switch, so the waiting is done here.
    """
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _schema_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextlib.contextmanager
def _exclusive(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one write transaction; roll it back if the block fails."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.execute("COMMIT")
