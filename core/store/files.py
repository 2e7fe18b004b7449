"""Files written whole, and failures of the disk turned into errors that say what to do.

Two context managers translate: `os_errors` for the operating system's failures, `sqlite_errors` for those of
an SQLite file. Both raise `RunStateError`, which the command line prints as one line.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from core.errors import RunStateError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE})
_WRONG_PATH = {
    errno.ENOENT: "no such file or folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EISDIR: "this is a folder, not a file",
    errno.EEXIST: "something else is there already",
    errno.ENAMETOOLONG: "the path is too long",
}


@contextlib.contextmanager
def os_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a RunStateError about `path`.

    Raises:
        RunStateError: The disk is full, the path is not writable, or it is not what was expected there.
    """
    try:
        yield
    except OSError as error:
        raise _translated(error, path) from error


def is_there(path: Path) -> bool:
    """Return whether something stands at the path, as far as it can be seen.

    Raises:
        RunStateError: The path cannot be looked at: its name is too long, or a folder above it is closed.
    """
    with os_errors(path):
        return path.exists()


def _translated(error: OSError, path: Path) -> RunStateError:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return _disk_full(path, reason)
    if error.errno in _DENIED:
        return _not_writable(path, reason)
    if error.errno in _TOO_MANY:
        return RunStateError(f"too many open files ({reason})", where=str(path), run="ulimit -n 4096")
    if error.errno in _WRONG_PATH:
        return RunStateError(_WRONG_PATH[error.errno], where=str(path), run=f"ls -ld {path.parent}")
    return RunStateError(f"cannot be used: {reason}", where=str(path), run=f"ls -ld {path}")


def _disk_full(path: Path, reason: str) -> RunStateError:
    return RunStateError(
        f"disk full ({reason})",
        where=str(path),
        accepted="free space, and a quota and file-size limit that let the file grow",
        run=f"df -h {path.parent}",
    )


def _not_writable(path: Path, reason: str) -> RunStateError:
    # The same errno comes from reading, and a file that cannot be read must not be called unwritable.
    unreadable = os.path.exists(path) and not os.access(path, os.R_OK, effective_ids=_EFFECTIVE_IDS)
    return RunStateError(
        f"{'not readable' if unreadable else 'not writable'} ({reason})",
        where=str(path),
        accepted="a file that this user may read" if unreadable else "a folder that this user may write to",
        run=f"ls -ld {path.parent} {path}",
    )


_EFFECTIVE_IDS = os.access in os.supports_effective_ids


@contextlib.contextmanager
def sqlite_errors(path: Path, remedy: str) -> Iterator[None]:
    """Turn an SQLite failure of the block into a RunStateError about `path`.

    Args:
        path: The SQLite file.
        remedy: What to do when the file itself is damaged, as in "delete the file".

    Raises:
        RunStateError: The file is damaged, locked, not writable, or the disk is full.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _translated_sqlite(error, path, remedy) from error


def is_damaged(error: sqlite3.Error) -> bool:
    """Return whether SQLite says that the file is no database, or a broken one."""
    return _primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another process held the file for too long."""
    return _primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _primary_code(error: sqlite3.Error) -> int:
    # Extended codes hold the primary code in their low byte. Errors of the Python layer carry no code: 0.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _translated_sqlite(error: sqlite3.Error, path: Path, remedy: str) -> RunStateError:
    code, reason = _primary_code(error), str(error)
    if is_damaged(error):
        return RunStateError(
            f"the file is damaged ({reason})", where=str(path), accepted=remedy, run=f"rm {path}"
        )
    # SQLite reports a quota or a file-size limit as a failed write, and only ENOSPC as "full".
    if code == sqlite3.SQLITE_FULL or getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_WRITE:
        return _disk_full(path, reason)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return _not_writable(path, reason)
    if is_busy(error):
        return RunStateError(
            f"another process holds the file ({reason})", where=str(path), run=f"fuser {path}"
        )
    return RunStateError(f"cannot be used: {reason}", where=str(path), run=f"ls -ld {path}")


def require_empty(folder: Path, accepted: str = "a new or empty folder") -> None:
    """Refuse a folder that holds something, and a file in its place.

    Raises:
        RunStateError: There is something; the error says what is accepted.
    """
    with os_errors(folder):
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            what = "the folder is not empty" if folder.is_dir() else "this is a file, not a folder"
            raise RunStateError(what, where=str(folder), accepted=accepted)


def write_atomic(path: Path, content: str | bytes, mode: int = 0o666) -> None:
    """Replace the file at `path` by `content`, so that every reader sees the old file or the new one, whole.

    Args:
        path: The file.
        content: All of it; text is written as UTF-8.
        mode: The new file's permissions from its first byte on, less what the umask takes away.

    Raises:
        RunStateError: The folder is missing or not writable, or the disk is full; the old file stands.
    """
    with _aside(path, [content], mode) as aside:
        aside.replace(path)


def write_stream(path: Path, pieces: Iterable[str | bytes]) -> None:
    """Replace the file at `path` as `write_atomic` does, by pieces that need not fit in memory together.

    Raises:
        RunStateError: The folder is missing or not writable, or the disk is full; the old file stands.
    """
    with _aside(path, pieces) as aside:
        aside.replace(path)


def write_new(path: Path, content: str | bytes) -> None:
    """Write a file that appears whole; one that is there already is never replaced.

    Raises:
        RunStateError: Something is there, the folder is missing or not writable, or the disk is full.
    """
    with _aside(path, [content]) as aside:
        path.open("xb").close()  # claims the name; fails if somebody has it
        aside.replace(path)


@contextlib.contextmanager
def _aside(path: Path, pieces: Iterable[str | bytes], mode: int = 0o666) -> Iterator[Path]:
    """Yield a file beside `path` that holds the pieces and is on disk; what is left of it is removed."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    with os_errors(path):
        try:
            # Not a `tempfile`: those are private to the user, and this file should follow the umask.
            with open(aside, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                for piece in pieces:
                    file.write(piece.encode("utf-8") if isinstance(piece, str) else piece)
                file.flush()
                os.fsync(file.fileno())
            yield aside
        finally:
            aside.unlink(missing_ok=True)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put the folder's list of names on disk, so that a new or renamed file survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
