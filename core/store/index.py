"""The SQLite index of a folder's record files: the position of each record by id.

The index contains nothing that is not in the record files. It may be lost, out of date or deleted at any
time, and is rebuilt from them. It can therefore commit in batches, and a reader uses a private copy of it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.store.files import is_damaged, os_errors, sqlite_errors

_SCHEMA_VERSION = 1
_BATCH_ROWS = 4096
_BATCH_S = 5.0
_PAGE_ROWS = 500
_REMEDY = "an intact index; if you delete the file, it is rebuilt from the record files"
_SCHEMA = f"""
BEGIN;
CREATE TABLE files (
    number INTEGER PRIMARY KEY,
    name TEXT UNIQUE NOT NULL,
    parent_field TEXT,
    inode INTEGER NOT NULL,
    end INTEGER NOT NULL,
    duplicates INTEGER NOT NULL
);
CREATE TABLE records (
    file INTEGER NOT NULL,
    id TEXT NOT NULL,
    parent TEXT,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (file, id)
) WITHOUT ROWID;
CREATE INDEX in_file_order ON records (file, offset);
CREATE INDEX by_parent ON records (file, parent, id) WHERE parent IS NOT NULL;
PRAGMA user_version = {_SCHEMA_VERSION};
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class Span:
    """Position of one record's line in its file, in bytes, including the newline."""

    id: str
    offset: int
    length: int

    @property
    def end(self) -> int:
        """Offset of the first byte after the line."""
        return self.offset + self.length


class RecordIndex:
    """One connection to the index, shared by the files of a folder and guarded by `lock`."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self.failed = False
        """True if a write to the index failed; it must not be used after that."""
        self.lock = threading.RLock()
        self._errors = sqlite_errors(path, _REMEDY)
        self._files: list[FileIndex] = []
        self._pending = 0
        self._committed_at = time.monotonic()
        self._connection = _open_for_writing(path) if writable else _private_copy(path)

    def file(self, name: str, parent_field: str | None) -> FileIndex:
        """Return the index of one file, empty if the file is new or was indexed with another parent field."""
        query = "SELECT number, parent_field, inode, end, duplicates FROM files WHERE name = ?"
        found = self.rows(query, name)
        if not found:
            self.change(
                "INSERT INTO files (name, parent_field, inode, end, duplicates) VALUES (?, ?, 0, 0, 0)",
                name,
                parent_field,
            )
            found = self.rows(query, name)
        number, known_field, inode, end, duplicates = found[0]
        opened = FileIndex(self, number, parent_field)
        opened.inode, opened.end, opened.duplicates = inode, end, duplicates
        if known_field != parent_field:
            opened.clear(inode)
        self._files.append(opened)
        return opened

    def find(self, prefix: str) -> list[tuple[str, str]]:
        """Return (file name, id) of every indexed record whose id starts with `prefix`."""
        found = []
        for number, name in self.rows("SELECT number, name FROM files ORDER BY name"):
            query = "SELECT id FROM records WHERE file = ? AND id >= ? AND id < ? ORDER BY id"
            found += [(name, row[0]) for row in self.rows(query, number, prefix, prefix + "\U0010ffff")]
        return found

    def rows(self, query: str, *arguments: object) -> list[Any]:
        """Return all rows of a query."""
        with self.lock, self._errors:
            return self._connection.execute(query, arguments).fetchall()

    def change(self, statement: str, *arguments: object) -> int:
        """Run a statement in the open batch and return the number of rows that it changed."""
        with self.lock, self._errors:
            try:
                if not self._connection.in_transaction:
                    self._connection.execute("BEGIN")
                changed = self._connection.execute(statement, arguments).rowcount
            except sqlite3.Error:
                # SQLite may have rolled back the whole batch. Continuing would treat recorded ids as new.
                self.failed = True
                self._connection.close()
                raise
        self._pending += changed
        if self._pending >= _BATCH_ROWS or time.monotonic() - self._committed_at > _BATCH_S:
            self.commit()
        return changed

    def commit(self) -> None:
        """Commit the batch together with the indexed length of each file."""
        statement = "UPDATE files SET parent_field = ?, inode = ?, end = ?, duplicates = ? WHERE number = ?"
        with self.lock, self._errors:
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN")
            for file in self._files:
                state = (file.parent_field, file.inode, file.end, file.duplicates, file.number)
                self._connection.execute(statement, state)
            self._connection.execute("COMMIT")
        self._pending, self._committed_at = 0, time.monotonic()

    def close(self) -> None:
        """Commit the batch and close the connection."""
        if not self.failed:
            self.commit()
        with self.lock, self._errors:
            self._connection.close()


class FileIndex:
    """The part of the index that belongs to one record file."""

    def __init__(self, index: RecordIndex, number: int, parent_field: str | None) -> None:
        self.number = number
        self.parent_field = parent_field
        self.inode = 0
        self.end = 0
        """Number of bytes of the file that are indexed."""
        self.duplicates = 0
        """Number of lines that repeat the id of an earlier line."""
        self._index = index

    def clear(self, inode: int) -> None:
        """Delete all rows, to index the file with inode number `inode` from its first byte."""
        self._index.change("DELETE FROM records WHERE file = ?", self.number)
        self.inode, self.end, self.duplicates = inode, 0, 0

    def add(self, span: Span, parent: str | None) -> bool:
        """Add a record and return True if it is new; an id of another line is counted as a duplicate."""
        values = (self.number, span.id, parent, span.offset, span.length)
        new = self._index.change("INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?)", *values) > 0
        if not new and self.span(span.id) != span:
            self.duplicates += 1
        self.end = span.end
        return new

    def count(self) -> int:
        """Return the number of records."""
        return int(self._index.rows("SELECT COUNT(*) FROM records WHERE file = ?", self.number)[0][0])

    def span(self, id: str) -> Span | None:
        """Return the position of the record with this id, or None."""
        return self._one("AND id = ?", id)

    def first(self) -> Span | None:
        """Return the position of the first record in the file, or None."""
        return self._one("ORDER BY offset LIMIT 1")

    def last(self) -> Span | None:
        """Return the position of the last record in the file, or None."""
        return self._one("ORDER BY offset DESC LIMIT 1")

    def in_file_order(self, after: int = -1) -> Iterator[Span]:
        """Yield the records that are indexed now, in file order, reading a page at a time.

        Args:
            after: offset of the last record to leave out with those before it; -1 to leave out none.
        """
        end = self.end
        while page := self._spans(
            "AND offset > ? AND offset < ? ORDER BY offset LIMIT ?", after, end, _PAGE_ROWS
        ):
            yield from page
            after = page[-1].offset

    def in_id_order(self, parent: str | None = None) -> Iterator[Span]:
        """Yield the records that are indexed now, or those of one parent, by id, reading a page at a time."""
        end, after = self.end, ""
        source, condition, chosen = "records", "", []
        if parent is not None:
            # Without INDEXED BY, SQLite chooses the primary key and reads every record of the file.
            source, condition, chosen = "records INDEXED BY by_parent", "AND parent = ?", [parent]
        condition += " AND id > ? AND offset < ? ORDER BY id LIMIT ?"
        while page := self._spans(condition, *chosen, after, end, _PAGE_ROWS, source=source):
            yield from page
            after = page[-1].id

    def has_children(self, parent: str) -> bool:
        """Return True if any record belongs to this parent."""
        query = "SELECT 1 FROM records WHERE file = ? AND parent = ? LIMIT 1"
        return bool(self._index.rows(query, self.number, parent))

    def _one(self, condition: str, *arguments: object) -> Span | None:
        found = self._spans(condition, *arguments)
        return found[0] if found else None

    def _spans(self, condition: str, *arguments: object, source: str = "records") -> list[Span]:
        query = f"SELECT id, offset, length FROM {source} WHERE file = ? {condition}"
        return [Span(*row) for row in self._index.rows(query, self.number, *arguments)]


def _open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the index file; create a new one if it is missing, damaged or has another schema."""
    with sqlite_errors(path, _REMEDY), os_errors(path):
        connection = _connect(path)
        if not _is_usable(connection):
            connection.close()
            path.unlink(missing_ok=True)
            path.with_name(path.name + "-journal").unlink(missing_ok=True)
            connection = _connect(path)
            connection.executescript(_SCHEMA)
        return connection


def _private_copy(path: Path) -> sqlite3.Connection:
    """Return a temporary copy of the committed index, or an empty index if there is no usable one.

    SQLite keeps a temporary database in memory and moves it to a temporary file when it grows large. The
    copy needs neither a lock nor a writable folder, and the writer never waits for a reader.
    """
    with sqlite_errors(path, _REMEDY):
        copy = _connect("")
        if path.exists():
            source_uri = f"{path.absolute().as_uri()}?mode=ro"
            with contextlib.suppress(sqlite3.Error), contextlib.closing(_connect(source_uri)) as source:
                source.backup(copy)
            if _is_usable(copy):
                return copy
            copy.close()
            copy = _connect("")
        copy.executescript(_SCHEMA)
        return copy


def _connect(database: Path | str) -> sqlite3.Connection:
    is_uri = isinstance(database, str) and database.startswith("file:")
    return sqlite3.connect(database, isolation_level=None, check_same_thread=False, uri=is_uri)


def _is_usable(connection: sqlite3.Connection) -> bool:
    """Return True if the index is intact and has the current schema; a new file does not have it yet."""
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] != _SCHEMA_VERSION:
            return False
        for table in ("files", "records"):
            connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as error:
        if is_damaged(error) or "no such table" in str(error):
            return False
        raise
