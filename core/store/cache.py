"""The request cache: every answer of a model, shared by all runs of a project.

One SQLite file in write-ahead mode. Several processes can read and write it at once. The first answer to a
key wins. Once `put` has returned, the answer survives the death of the process.

A cache with a bound evicts the answers that were used longest ago (`core/store/eviction.py`). A damaged file
is set aside under another name, and an empty cache takes its place.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from core.errors import RunStateError, shell_command
from core.notices import counted, note, warn
from core.store import eviction
from core.store.eviction import transaction
from core.store.files import is_busy, is_damaged, is_there, os_errors, sqlite_errors

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
_TOUCHES = 512
"""Answers read between two writes of the times at which they were used."""
_SET_ASIDE_S = 3.0
"""Seconds to wait for other processes before a damaged file is set aside."""

_Result = TypeVar("_Result")


class StoredAnswer(NamedTuple):
    """An answer in the cache."""

    operation: str
    value: str


class RequestCache:
    """Answers by request key. Values are text; the caller encodes and decodes them.

    Safe to use from several threads and several processes. A file that turns out to be damaged is renamed,
    one warning names the new name, and work continues with an empty cache.

    Args:
        path: the file; created if it does not exist.
        max_bytes: size above which the answers used longest ago are evicted; None for no bound.
    """

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        self.path = path
        self.evicted = 0
        """Number of answers that this process evicted."""
        self.damage: str | None = None
        """What was wrong with the last file that was set aside; None if none was."""
        self.aside: Path | None = None
        """Where that file is now."""
        self._max_bytes = max_bytes
        self._touched: dict[str, None] = {}
        self._lock = threading.Lock()
        self._errors = sqlite_errors(path, _REMEDY)
        with os_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(path.parent, os.O_RDONLY)
        try:
            with self._errors:
                self._connection = self._opened()
        except BaseException:
            os.close(self._folder)
            raise

    def get(self, key: str) -> str | None:
        """Return the answer stored under `key`, or None. The answer counts as used now."""
        value = self.peek(key)
        if value is not None:
            with self._lock:
                self._touched[key] = None
                due = len(self._touched) >= _TOUCHES
            if due:
                with contextlib.suppress(RunStateError):  # a full disk spares answers that are there
                    self._do(self._write_touches)
        return value

    def peek(self, key: str) -> str | None:
        """Return the answer stored under `key`, or None, without counting it as used."""
        row = self._do(
            lambda connection: connection.execute(
                "SELECT value FROM answers WHERE key = ?", (key,)
            ).fetchone()
        )
        return None if row is None else str(row[0])

    def put(self, key: str, operation: str, value: str) -> None:
        """Store an answer unless the key already has one, from this or another process."""
        self._do(lambda connection: eviction.insert(connection, key, operation, value))
        self._keep_bound()

    def replace(self, key: str, operation: str, unusable: str, value: str) -> None:
        """Store an answer in place of one that cannot be used, unless another process replaced it already.

        It is also stored if the unusable one has been evicted meanwhile.
        """
        self._do(lambda connection: eviction.replace(connection, key, operation, unusable, value))
        self._keep_bound()

    @contextlib.contextmanager
    def unbounded(self) -> Iterator[None]:
        """Evict nothing in the block: the answers that are stored in it are needed at its end."""
        bound, self._max_bytes = self._max_bytes, None
        try:
            yield
        finally:
            self._max_bytes = bound
            self._keep_bound()

    def _keep_bound(self) -> None:
        if self._max_bytes is not None and self.used_bytes > self._max_bytes:
            self.evict(self._max_bytes)

    def evict(self, max_bytes: int) -> int:
        """Evict the answers used longest ago if the file is larger than the bound; return their number."""
        self._do(self._write_touches)
        removed = self._do(lambda connection: eviction.evict(connection, max_bytes))
        self.evicted += removed
        return removed

    def prune(self, model: str | None = None, used_before: float | None = None) -> int:
        """Remove the answers that meet all conditions given, at least one; return their number.

        Args:
            model: the model that gave the answer.
            used_before: time in seconds since 1970 after which the answer was not used.
        """
        self._do(self._write_touches)
        return self._do(lambda connection: eviction.prune(connection, model, used_before))

    def compact(self) -> bool:
        """Return free pages to the disk; False if the file is in use or the disk is full."""
        return self._do(lambda connection: eviction.compact(connection, self._is_alone()))

    def contents(self) -> list[eviction.CacheGroup]:
        """Return the number and size of the answers by model and operation, the largest groups first."""
        return self._do(eviction.contents)

    def recent(self, count: int) -> list[StoredAnswer]:
        """Return the answers stored last, newest first."""
        query = "SELECT operation, value FROM answers ORDER BY rowid DESC LIMIT ?"
        rows = self._do(lambda connection: connection.execute(query, (count,)).fetchall())
        return [StoredAnswer(*row) for row in rows]

    def check(self) -> str | None:
        """Read the whole file and return what is wrong with it, or None."""
        with self._lock:
            try:
                with self._errors:
                    return eviction.damage(self._connection)
            except RunStateError as error:
                if not isinstance(error.__cause__, sqlite3.Error) or not is_damaged(error.__cause__):
                    raise
                return str(error.__cause__)

    def set_aside(self, reason: str) -> Path:
        """Rename the file, with a warning, and continue with an empty cache; return the new name.

        Raises:
            RunStateError: another process is using the file.
        """
        with self._lock, self._errors:
            return self._set_aside(reason)

    @property
    def used_bytes(self) -> int:
        """Size of the file without its free pages."""
        return self._do(eviction.used_bytes)

    def __len__(self) -> int:
        count = "SELECT COUNT(*) FROM answers"
        return int(self._do(lambda connection: connection.execute(count).fetchone()[0]))

    def close(self) -> None:
        """Close the file. Answers are already stored when `put` returns."""
        if self._folder < 0:
            return
        with contextlib.suppress(RunStateError):  # only the times of use would be lost
            self._do(self._write_touches)
        with self._lock, self._errors:
            self._connection.close()
            os.close(self._folder)
            self._folder = -1
        if self.evicted:
            note(f"the request cache reached its bound: {counted(self.evicted, 'answer')} evicted")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Return the result of work on the connection; on damage, of the same work on an empty cache."""
        with self._lock, self._errors:
            try:
                return work(self._connection)
            except sqlite3.DatabaseError as error:
                if not is_damaged(error):
                    raise
                self._set_aside(str(error))
                return work(self._connection)

    def _write_touches(self, connection: sqlite3.Connection) -> None:
        if self._touched:
            eviction.touch(connection, self._touched)
            self._touched.clear()

    def _opened(self) -> sqlite3.Connection:
        """Return a connection to the file, which is set aside first if it is damaged."""
        # Held as long as the file is open: while others hold it too, the file must not be renamed, since
        # SQLite removes the journal of a closed file by its name.
        fcntl.flock(self._folder, fcntl.LOCK_SH)
        connection = self._connect()
        try:
            _prepare(connection, self.path)
        except sqlite3.DatabaseError as error:
            connection.close()
            if not (is_damaged(error) or _lacks_a_table(error)):
                raise
            self._connection = connection
            self._set_aside(str(error))
            return self._connection
        except BaseException:
            connection.close()
            raise
        self._inode = self.path.stat().st_ino
        return connection

    def _connect(self) -> sqlite3.Connection:
        self._inode = self.path.stat().st_ino if is_there(self.path) else 0
        return sqlite3.connect(
            self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )

    def _set_aside(self, reason: str) -> Path:
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        aside = self.path
        with self._alone():
            # Another process may have found the damage first; its empty cache is then in place already.
            if is_there(self.path) and self.path.stat().st_ino == self._inode:
                self.damage, self.aside = reason, _renamed(self.path)
                aside = self.aside
                warn(
                    f"{self.path} is damaged ({reason}) and was renamed to {aside.name}; the cache is empty "
                    "now, so requests that it had answered are sent again"
                )
        self._connection = self._opened()
        return aside

    def _is_alone(self) -> bool:
        """Return True if no other process has the file open."""
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(self._folder, fcntl.LOCK_SH)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no other process has the file open.

        Raises:
            RunStateError: another process keeps it open.
        """
        fcntl.flock(self._folder, fcntl.LOCK_UN)
        deadline = time.monotonic() + _SET_ASIDE_S
        while True:
            try:
                fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RunStateError(
                        "the file is damaged, and another process is using it",
                        where=str(self.path),
                        accepted="a cache that no other process uses; it is then set aside",
                        run=shell_command("fuser", self.path),
                    ) from None
                # Two processes that found the damage at once would else wait for each other in step.
                time.sleep(random.uniform(0.01, 0.1))
        try:
            yield
        finally:
            fcntl.flock(self._folder, fcntl.LOCK_UN)


def _renamed(path: Path) -> Path:
    """Rename a damaged file and its journals; return the new name."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.stem}.damaged-{stamp}-{os.getpid()}{path.suffix}")
    with os_errors(path):
        for suffix in ("-wal", "-shm", ""):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
    return aside


def _lacks_a_table(error: sqlite3.Error) -> bool:
    return "no such table" in str(error) or "no such column" in str(error)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Create the schema in a new file, or check the schema version of an existing one.

    Raises:
        RunStateError: Another version of Publius wrote the file with another schema version.
    """
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file only: evicted pages are returned
    _switch_to_write_ahead(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    if _schema_version(connection) == 0:
        with transaction(connection):
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
    eviction.prepare(connection)


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
