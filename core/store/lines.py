"""Lines of an append-only file: open the file, read from an offset, remove a torn last line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.store.files import sync_folder

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file, including its newline if it has one."""

    offset: int
    content: bytes
    is_last: bool


def open_lines(path: Path, *, writable: bool) -> int:
    """Open the file for reading, and for appending if `writable`, and return its descriptor.

    A missing file is created if `writable`; otherwise it is read as an empty file.
    """
    if writable:
        is_new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        if is_new:
            sync_folder(path.parent)
        return descriptor
    # A stage that has not run yet has no file. Readers treat it as an empty file.
    return os.open(path if path.exists() else os.devnull, os.O_RDONLY)


def lines_from(descriptor: int, start: int) -> Iterator[Line]:
    """Yield the lines from offset `start` to the current end of the file."""
    size = os.fstat(descriptor).st_size
    if start >= size:
        return
    with open(descriptor, "rb", buffering=_CHUNK_BYTES, closefd=False) as file:
        file.seek(start)
        offset = start
        while offset < size and (content := file.readline()):
            yield Line(offset, content, is_last=offset + len(content) >= size)
            offset += len(content)


def cut_torn_line(path: Path, descriptor: int, line: Line) -> int:
    """Move a torn last line to `<name>.torn` and return its length in bytes."""
    with path.with_name(path.name + ".torn").open("ab") as torn:
        torn.write(line.content.rstrip(b"\n") + b"\n")
        torn.flush()
        os.fsync(torn.fileno())
    os.ftruncate(descriptor, line.offset)
    return len(line.content)


def line_number(descriptor: int, offset: int) -> int:
    """Return the number, from 1, of the line that begins at `offset`."""
    number, position = 1, 0
    while position < offset:
        chunk = os.pread(descriptor, min(_CHUNK_BYTES, offset - position), position)
        if not chunk:
            break
        number += chunk.count(b"\n")
        position += len(chunk)
    return number
