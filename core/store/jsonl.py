"""Lines of JSON in files that others wrote: each with its number, and its value or what is wrong with it.

A broken line does not end the reading: callers decide. A file of prompts is refused at the first one, an
import of labels counts them. Our own files of records are read by `record_store`.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, AnyStr

from core.errors import DataError


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a line, or a whole document, holds no value."""

    what: str
    byte: int | None = None
    """Which byte is wrong, from 1."""
    line: int = 1
    """Which line of the text is wrong, from 1: of a single line the first, or the end behind it."""
    column: int | None = None
    """Which character of that line is wrong, from 1."""

    def __str__(self) -> str:
        if self.byte is not None:
            return f"{self.what} at byte {self.byte} of the line"
        if self.column is not None:
            return f"{self.what} at {f'line {self.line}, ' if self.line > 1 else ''}column {self.column}"
        return self.what


def rows(lines: Iterable[AnyStr]) -> Iterator[tuple[int, Any | Unreadable]]:
    """Yield the number and the value of every line that is not blank, reading no further than is asked for.

    Args:
        lines: of text, or of bytes in UTF-8; a file will do.
    """
    for number, line in numbered(lines):
        yield number, json_value(line)


def numbered(lines: Iterable[AnyStr]) -> Iterator[tuple[int, AnyStr]]:
    """Yield the lines that are not blank with their numbers, from 1; bytes without their byte-order mark."""
    for number, line in enumerate(lines, start=1):
        if number == 1 and isinstance(line, bytes):
            line = line.removeprefix(BOM_UTF8)
        if line.strip():
            yield number, line


def json_value(content: str | bytes) -> Any | Unreadable:
    """Return what the JSON of a line or document says."""
    text = decoded(content) if isinstance(content, bytes) else content
    if isinstance(text, Unreadable):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        return Unreadable(f"not JSON: {error.msg}", line=error.lineno, column=error.colno)
    except (ValueError, RecursionError):  # a number of too many digits, or lists in lists in lists
        return Unreadable("JSON of no reasonable size")


def decoded(content: bytes) -> str | Unreadable:
    """Return bytes in UTF-8 as text."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        return Unreadable(f"not UTF-8 text: {error.reason}", byte=error.start + 1)


def opened(path: Path) -> IO[bytes]:
    """Return a file opened for reading bytes; one that ends in `.gz` is unpacked on the way."""
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


@contextlib.contextmanager
def read_errors(path: Path, accepted: str, also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn what spoils a whole file while it is read into a DataError about `path`.

    Args:
        path: the file.
        accepted: which files would do.
        also: further errors that mean the same in the block.

    Raises:
        DataError: The file cannot be opened, read, unpacked or, where it is opened as text, decoded.
    """
    spoilt: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, *also)
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text: {error.reason}", where=str(path), accepted=accepted) from error
    except spoilt as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot be read: {reason}", where=str(path), accepted=accepted) from error
