"""Size of the request cache: when its answers were used, and which of them are removed.

The times of use are in a table of their own, `uses`: older versions ignore it, and a large answer is not
written again when it is read. An answer without a time, written by an older version, counts as used when the
table was created, and of two with the same time the one that was stored first is the older one.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from core.store.files import is_busy, is_full

_TABLES = (
    "CREATE TABLE IF NOT EXISTS uses (key TEXT PRIMARY KEY, used REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS counted_since (used REAL NOT NULL)",
)
_USED = "coalesce(uses.used, (SELECT min(used) FROM counted_since))"
_JOINED = "answers LEFT JOIN uses ON uses.key = answers.key"
_MODEL = "CASE WHEN json_valid(value) THEN json_extract(value, '$.model') END"
_SIZE = "length(CAST(value AS BLOB)) + length(answers.key)"
_INCREMENTAL = 2
"""Value of `auto_vacuum` in a file whose free pages can be cut off one by one."""
_STEP_PAGES = 256
"""Free pages to cut off at once."""
_TARGET = 0.9
"""Share of the bound that is left after an eviction, so that the next one is not due at once."""


class CacheGroup(NamedTuple):
    """The answers of one model to requests of one purpose."""

    model: str
    """Name of the model; empty for values that are no model's answer, such as losses."""
    operation: str
    answers: int
    bytes: int
    used: float
    """Time of the last use, in seconds since 1970."""


def prepare(connection: sqlite3.Connection) -> None:
    """Create the tables of the times of use, unless they exist."""
    found = connection.execute("SELECT count(*) FROM sqlite_master WHERE name IN ('uses', 'counted_since')")
    if found.fetchone()[0] == len(_TABLES):
        return
    with transaction(connection):
        for table in _TABLES:
            connection.execute(table)
        if connection.execute("SELECT count(*) FROM counted_since").fetchone()[0] == 0:
            connection.execute("INSERT INTO counted_since VALUES (?)", (time.time(),))


def touch(connection: sqlite3.Connection, keys: Iterable[str]) -> None:
    """Record that answers are used now."""
    with transaction(connection):
        for key in keys:  # another process may have evicted one since
            connection.execute(
                "INSERT OR REPLACE INTO uses SELECT key, ? FROM answers WHERE key = ?", (time.time(), key)
            )


def replace(connection: sqlite3.Connection, key: str, operation: str, unusable: str, value: str) -> None:
    """Store an answer in place of one that cannot be used, or of none, and record that it is used now."""
    with transaction(connection):
        connection.execute(
            "INSERT INTO answers VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value "
            "WHERE value = ?",
            (key, operation, value, unusable),
        )
        connection.execute("INSERT OR REPLACE INTO uses VALUES (?, ?)", (key, time.time()))


def insert(connection: sqlite3.Connection, key: str, operation: str, value: str) -> None:
    """Store an answer unless the key has one, and record that it is used now."""
    with transaction(connection):
        connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", (key, operation, value))
        connection.execute("INSERT OR REPLACE INTO uses VALUES (?, ?)", (key, time.time()))


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the size of the file in bytes without its free pages."""
    pages, free, size = (_pragma(connection, name) for name in ("page_count", "freelist_count", "page_size"))
    return (pages - free) * size


def evict(connection: sqlite3.Connection, max_bytes: int) -> int:
    """Remove the answers used longest ago, in one transaction, until the file is below the bound.

    Nothing is removed if it is below the bound already: another process may just have evicted.

    Returns:
        The number of answers removed.
    """
    if used_bytes(connection) <= max_bytes:
        return 0
    target, removed = _TARGET * max_bytes, 0
    with transaction(connection):
        if used_bytes(connection) <= max_bytes:
            return 0
        while (size := used_bytes(connection)) > target:
            rows = int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])
            if not rows:
                break  # the empty tables alone are larger
            share = math.ceil(rows * (size - target) / size)
            oldest = f"SELECT answers.rowid FROM {_JOINED} ORDER BY {_USED}, answers.rowid LIMIT ?"
            removed += _delete(connection, oldest, (share,))
    try:
        _cut_off(connection)
    except sqlite3.OperationalError as error:
        if not (is_busy(error) or is_full(error)):
            raise  # else the pages are free, and are used for the next answers
    return removed


def prune(connection: sqlite3.Connection, model: str | None, used_before: float | None) -> int:
    """Remove the answers that meet all conditions given, in one transaction; return their number."""
    conditions: list[tuple[str, str | float]] = []
    if model is not None:
        conditions.append((f"{_MODEL} = ?", model))
    if used_before is not None:
        conditions.append((f"{_USED} < ?", used_before))
    if not conditions:
        raise ValueError("prune requires a condition")
    where = " AND ".join(text for text, _ in conditions)
    with transaction(connection):
        found = f"SELECT answers.rowid FROM {_JOINED} WHERE {where}"
        return _delete(connection, found, tuple(value for _, value in conditions))


def compact(connection: sqlite3.Connection, alone: bool) -> bool:
    """Return free pages to the disk; False if that is not possible now.

    Args:
        connection: the cache.
        alone: True if no other process uses the file. One of an older version, whose free pages cannot be cut
            off one by one, is written again as a whole, which locks it for long.
    """
    try:
        if _pragma(connection, "auto_vacuum") == _INCREMENTAL:
            _cut_off(connection)
        elif alone:
            connection.execute("VACUUM")
        else:
            return False
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as error:
        if not (is_busy(error) or is_full(error)):
            raise
        return False
    return True


def _cut_off(connection: sqlite3.Connection) -> None:
    """Return free pages to the disk, a few at a time.

    The file is never locked for long, and the journal, which has the pages that are moved, stays small.
    """
    before = _pragma(connection, "freelist_count")
    while before:
        connection.execute(f"PRAGMA incremental_vacuum({_STEP_PAGES})").fetchall()
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        left = _pragma(connection, "freelist_count")
        if left >= before:
            return  # another process is at work
        before = left


def contents(connection: sqlite3.Connection) -> list[CacheGroup]:
    """Return the number and size of the answers by model and operation, the largest groups first."""
    rows = connection.execute(
        f"SELECT coalesce({_MODEL}, ''), operation, count(*), sum({_SIZE}) AS size, max({_USED}) "
        f"FROM {_JOINED} GROUP BY 1, 2 ORDER BY size DESC, 1, 2"
    )
    return [CacheGroup(str(row[0]), *row[1:]) for row in rows]


def damage(connection: sqlite3.Connection) -> str | None:
    """Return the first thing that SQLite's check of the whole file finds wrong, or None."""
    first = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    return None if first == "ok" else " ".join(first.split())


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one write transaction; roll it back if the block fails."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # a damaged file may refuse; the first error is the cause
            connection.rollback()
        raise
    connection.execute("COMMIT")


def _delete(connection: sqlite3.Connection, rowids: str, values: tuple[str | float, ...]) -> int:
    """Remove the answers with the row ids that a query selects, and their times of use."""
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS removed (id INTEGER PRIMARY KEY)")
    connection.execute("DELETE FROM removed")
    connection.execute(f"INSERT INTO removed {rowids}", values)
    connection.execute(
        "DELETE FROM uses WHERE key IN (SELECT key FROM answers WHERE rowid IN (SELECT id FROM removed))"
    )
    return connection.execute("DELETE FROM answers WHERE rowid IN (SELECT id FROM removed)").rowcount


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
