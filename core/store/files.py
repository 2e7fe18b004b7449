"""Atomic file writes, and the translation of disk failures into errors with a remedy.

Two context managers translate errors: `os_errors` for the operating system, `sqlite_errors` for an SQLite
file. Both raise `RunStateError`, which the command line prints as one line.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

from core.errors import RunStateError, shell_command

_UNFINISHED = ".unfinished"
_TEMPORARY = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.tmp")
"""Names that `_temporary` gives."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE})
_WRONG_PATH = {
    errno.ENOENT: "no such file or folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EISDIR: "this is a folder, not a file",
    errno.EEXIST: "path already exists",
    errno.ENAMETOOLONG: "the path is too long",
}


class Translating:
    """A context manager that turns exceptions of the block into others. It can be entered many times.

    Record files and caches enter one for each record; a generator would take four times as long.
    """

    __slots__ = ("_translated",)

    def __init__(self, translated: Callable[[BaseException], Exception | None]) -> None:
        self._translated = translated

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and (other := self._translated(error)) is not None:
            raise other from error


def os_errors(path: Path) -> Translating:
    """Turn an OSError in the block into a RunStateError about `path`.

    Raises:
        RunStateError: The disk is full, the path is not accessible, or it is not of the expected kind.
    """
    return Translating(lambda error: _translated(error, path) if isinstance(error, OSError) else None)


def is_there(path: Path) -> bool:
    """Return True if the path exists.

    Raises:
        RunStateError: The path cannot be checked: its name is too long, or a parent folder is not accessible.
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
        return RunStateError(
            _WRONG_PATH[error.errno], where=str(path), run=shell_command("ls", "-ld", path.parent)
        )
    return RunStateError(f"cannot be used: {reason}", where=str(path), run=shell_command("ls", "-ld", path))


def _disk_full(path: Path, reason: str) -> RunStateError:
    return RunStateError(
        f"disk full ({reason})",
        where=str(path),
        accepted="free disk space, and a quota and file-size limit that allow the file to grow",
        run=shell_command("df", "-h", path.parent),
    )


def _not_writable(path: Path, reason: str) -> RunStateError:
    # Failed reads have the same errno; do not report an unreadable file as not writable.
    unreadable = os.path.exists(path) and not os.access(path, os.R_OK, effective_ids=_EFFECTIVE_IDS)
    return RunStateError(
        f"{'not readable' if unreadable else 'not writable'} ({reason})",
        where=str(path),
        accepted="a file that this user may read" if unreadable else "a folder that this user may write to",
        run=shell_command("ls", "-ld", path.parent, path),
    )


_EFFECTIVE_IDS = os.access in os.supports_effective_ids


def sqlite_errors(path: Path, remedy: str) -> Translating:
    """Turn an SQLite error in the block into a RunStateError about `path`.

    Args:
        path: The SQLite file.
        remedy: What to do if the file itself is damaged, such as "delete the file".

    Raises:
        RunStateError: The file is damaged, locked, not writable, or the disk is full.
    """
    return Translating(
        lambda error: _translated_sqlite(error, path, remedy) if isinstance(error, sqlite3.Error) else None
    )


def is_damaged(error: sqlite3.Error) -> bool:
    """Return True if SQLite reports that the file is not a database or is corrupt."""
    return _primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_busy(error: sqlite3.Error) -> bool:
    """Return True if another process kept the file locked for too long."""
    return _primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_full(error: sqlite3.Error) -> bool:
    """Return True if there is no room on the disk for what SQLite has to write."""
    write_failed = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_WRITE
    return write_failed or _primary_code(error) == sqlite3.SQLITE_FULL


def _primary_code(error: sqlite3.Error) -> int:
    # The low byte of an extended code is the primary code. Errors of the Python layer have no code: use 0.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _translated_sqlite(error: sqlite3.Error, path: Path, remedy: str) -> RunStateError:
    code, reason = _primary_code(error), str(error)
    # A dropped table or column is damage too, but SQLite reports it as a wrong statement.
    if is_damaged(error) or code == sqlite3.SQLITE_ERROR:
        return RunStateError(
            f"the file is damaged ({reason})", where=str(path), accepted=remedy, run=shell_command("rm", path)
        )
    # SQLite reports only ENOSPC as "full", and an exceeded quota or file-size limit as a failed write.
    if is_full(error):
        return _disk_full(path, reason)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return _not_writable(path, reason)
    if is_busy(error):
        return RunStateError(
            f"another process has locked the file ({reason})",
            where=str(path),
            run=shell_command("fuser", path),
        )
    return RunStateError(f"cannot be used: {reason}", where=str(path), run=shell_command("ls", "-ld", path))


def require_empty(folder: Path, accepted: str = "a new or empty folder") -> None:
    """Raise an error if the folder is not empty or the path is a file.

    Raises:
        RunStateError: The folder is not empty, or the path is a file.
    """
    with os_errors(folder):
        if folder.exists() and not (folder.is_dir() and all(p.name == _UNFINISHED for p in folder.iterdir())):
            what = "the folder is not empty" if folder.is_dir() else "this is a file, not a folder"
            raise RunStateError(what, where=str(folder), accepted=accepted)


def write_atomic(path: Path, content: str | bytes, mode: int = 0o666) -> None:
    """Replace the file at `path` atomically: readers see the complete old file or the complete new one.

    Args:
        path: The file.
        content: The whole content; text is written as UTF-8.
        mode: The new file's permissions from its first byte on, less the umask.

    Raises:
        RunStateError: The folder is missing or not writable, or the disk is full; the old file is unchanged.
    """
    with _temporary(path, [content], mode) as temporary:
        temporary.replace(path)


def write_stream(path: Path, pieces: Iterable[str | bytes]) -> None:
    """Replace the file at `path` as `write_atomic` does, with pieces that need not fit in memory together.

    Raises:
        RunStateError: The folder is missing or not writable, or the disk is full; the old file is unchanged.
    """
    with _temporary(path, pieces) as temporary:
        temporary.replace(path)


def write_new(path: Path, content: str | bytes) -> None:
    """Write a new file atomically; never replace an existing one.

    Raises:
        RunStateError: The path exists, the folder is missing or not writable, or the disk is full.
    """
    with _temporary(path, [content]) as temporary:
        path.open("xb").close()  # reserves the name; fails if the path exists
        temporary.replace(path)


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`, which becomes `target` when the block ends without an error.

    Readers see no folder, or the complete one, and a failed attempt leaves nothing in the way of the next.

    Args:
        target: a new or empty folder.

    Raises:
        RunStateError: The target is not empty, or its folder is not writable, or the disk is full.
    """
    target = target.expanduser()
    require_empty(target)
    with os_errors(target):
        target = target.resolve()
        # A mounted folder cannot be replaced, nor one whose parent is not ours: files are moved into it.
        inside = target.is_dir() and (os.path.ismount(target) or not os.access(target.parent, os.W_OK))
        temporary = target / _UNFINISHED if inside else target.with_name(f".{target.name}{_UNFINISHED}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            for path in temporary.rglob("*"):
                if path.is_file():
                    with path.open("rb") as file:
                        os.fsync(file.fileno())
            if inside:
                for path in sorted(temporary.iterdir(), key=lambda path: path.name == "README.md"):
                    path.rename(target / path.name)  # the card last
            else:
                temporary.rename(target)
            sync_folder(target if inside else target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _temporary(path: Path, pieces: Iterable[str | bytes], mode: int = 0o666) -> Iterator[Path]:
    """Write the pieces to a temporary file next to `path`, sync it and yield it; remove it at the end."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    with os_errors(path):
        try:
            # Not `tempfile`: its files are readable by the user only, and this file must follow the umask.
            with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                for piece in pieces:
                    file.write(piece.encode("utf-8") if isinstance(piece, str) else piece)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of whole-file writes that a killed process left in a folder.

    Call it only where no other process writes to the folder.
    """
    with os_errors(folder):
        for path in folder.glob(".*.tmp"):
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Sync the folder's directory entries to disk, so a new or renamed file survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
