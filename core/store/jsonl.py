"""Reader for JSON-lines files from outside Publius: each line's number with its value or its error.

A broken line does not stop the reader; the caller decides. Reading prompts fails at the first broken line, an
import of labels counts them. Publius's own record files are read by `record_store`.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, AnyStr

from core.errors import DataError
from core.text.special_files import require_regular


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The reason why a line or a whole document could not be parsed."""

    what: str
    byte: int | None = None
    """Number of the wrong byte, from 1."""
    line: int = 1
    """Number of the wrong line of the text, from 1; for a single line it is 2 if the error is at its end."""
    column: int | None = None
    """Number of the wrong character in that line, from 1."""

    def __str__(self) -> str:
        if self.byte is not None:
            return f"{self.what} at byte {self.byte} of the line"
        if self.column is not None:
            return f"{self.what} at {f'line {self.line}, ' if self.line > 1 else ''}column {self.column}"
        return self.what


def rows(lines: Iterable[AnyStr]) -> Iterator[tuple[int, Any | Unreadable]]:
    """Yield the number and the value of every line that is not blank. Lines are read lazily.

    Args:
        lines: lines of text, or of bytes in UTF-8, such as an open file.
    """
    for number, line in numbered(lines):
        yield number, json_value(line)


def numbered(lines: Iterable[AnyStr]) -> Iterator[tuple[int, AnyStr]]:
    """Yield every line that is not blank with its number, from 1; a byte-order mark in bytes is removed."""
    for number, line in enumerate(lines, start=1):
        if number == 1 and isinstance(line, bytes):
            line = line.removeprefix(BOM_UTF8)
        if line.strip():
            yield number, line


def json_value(content: str | bytes) -> Any | Unreadable:
    """Return the value of a JSON line or document."""
    text = decoded(content) if isinstance(content, bytes) else content
    if isinstance(text, Unreadable):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        instead = _instead(text)
        if instead:
            return Unreadable(f"not JSON: {instead}")
        return Unreadable(f"not JSON: {error.msg}", line=error.lineno, column=error.colno)
    except (ValueError, RecursionError):  # an integer with too many digits, or too many nested lists
        return Unreadable("JSON with too many nested levels or too long a number")


def _instead(line: str) -> str | None:
    """Return the name of a known mistake in a line: a comma at its end or a separator at its start."""
    if line.startswith("\x1e"):
        return "the line begins with a record separator (U+001E), as in JSON text sequences"
    bare = line.rstrip()
    if not (bare.endswith(("},", "],")) and bare.startswith("{")):
        return None
    try:
        json.loads(bare[:-1])
    except (ValueError, RecursionError):
        return None
    return "the line ends with a comma, as in a JSON array without its brackets"


def decoded(content: bytes) -> str | Unreadable:
    """Decode UTF-8 bytes."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        return Unreadable(f"not UTF-8 text: {error.reason}", byte=error.start + 1)


def opened(path: Path) -> IO[bytes]:
    """Open a file for reading bytes; a file that ends in `.gz` is decompressed while reading."""
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


@contextlib.contextmanager
def read_errors(path: Path, accepted: str, also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn an error that makes a whole file unreadable into a DataError about `path`.

    Args:
        path: the file.
        accepted: the kinds of files that are accepted.
        also: further exception types that mean an unreadable file in the block.

    Raises:
        DataError: The file cannot be opened, read, decompressed or, if it is opened as text, decoded.
        ConfigError: It is a device, a named pipe or a socket.
    """
    require_regular(path)
    spoilt: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, *also)
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text: {error.reason}", where=str(path), accepted=accepted) from error
    except spoilt as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot be read: {reason}", where=str(path), accepted=accepted) from error


def sample_lines(path: Path, to: Path, most: int) -> int:
    """Copy a uniform sample of a file's lines, in their order, if it has more than `most` that are not blank.

    The same file has the same sample. Lines are copied as bytes and not parsed. UTF-16 is not sampled.

    Returns:
        The number of lines that are not blank; `to` is written only if it exceeds `most`.
    """
    with path.open("rb") as file:
        if file.read(2) in (BOM_UTF16_LE, BOM_UTF16_BE):
            return 0
        file.seek(0)
        total = sum(1 for line in file if line.strip())
        if total <= most:
            return total
        taken = set(random.Random(0).sample(range(total), most))
        file.seek(0)
        filled = (line for line in file if line.strip())
        with to.open("wb") as target:
            target.writelines(line for place, line in enumerate(filled) if place in taken)
    return total
