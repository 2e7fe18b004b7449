"""The files of a data set folder: which of them a row is from, and the columns in the names of folders.

A folder `month=2026-08`, as Hive, Spark and pyarrow write them, gives all rows below it a column `month`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from core.errors import DataError
from core.lazy import require
from core.store.containers import file_rows, is_read_here, kind_of

_KEY = re.compile(r"([^=]+)=(.*)")
_EMPTY = "__HIVE_DEFAULT_PARTITION__"
"""Value of rows without one."""
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
"""Whole numbers as they are written without a zero in front, which `08` has and a name may need."""


@dataclass(frozen=True)
class FileOfRows:
    """A file of a data set folder."""

    name: str
    """Its path in the folder."""
    rows: int
    columns: dict[str, Any]
    """The columns that the names of its folders hold."""


def files_of_rows(folder: Path, files: Sequence[Path], extra: str) -> tuple[FileOfRows, ...]:
    """Return the files of a data set in their order, each with its number of rows; none if one is not known.

    Args:
        folder: the data set folder.
        files: paths of the files whose rows `datasets` reads, one after the other.
        extra: the optional extra that installs what reads Parquet.
    """
    if not all(path.is_relative_to(folder) for path in files):
        return ()
    names = [path.relative_to(folder).as_posix() for path in files]
    if len(files) < 2 and not any(_keys(name) for name in names):
        return ()
    found = []
    for path, name, columns in zip(files, names, _columns(names), strict=True):
        rows = _rows_in(path, extra)
        if rows is None:
            return ()
        found.append(FileOfRows(name, rows, columns))
    return tuple(found)


def places_of(files: Sequence[FileOfRows]) -> Iterator[tuple[FileOfRows, int]]:
    """Yield the file of each row, and the number of the row in it."""
    for file in files:
        for number in range(1, file.rows + 1):
            yield file, number


def _rows_in(path: Path, extra: str) -> int | None:
    """Return the number of rows in a file; None if it cannot be told."""
    with contextlib.suppress(OSError, ValueError, DataError):
        if kind_of(path) == ".parquet":
            return int(require("pyarrow.parquet", extra).read_metadata(path).num_rows)
        if is_read_here(path):
            return sum(1 for _ in file_rows(path, "rows"))
    return None


def _columns(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the columns of each file: numbers if all values of a column are, else text."""
    found = [dict(_keys(name)) for name in names]
    every = dict.fromkeys(key for own in found for key in own)
    values = {key: [text for own in found if (text := own.get(key)) is not None] for key in every}
    numbers = {key for key, held in values.items() if held and all(map(_INTEGER.fullmatch, held))}
    return [{key: _value(own.get(key), key in numbers) for key in every} for own in found]


def _value(text: str | None, is_number: bool) -> str | int | None:
    return int(text) if text is not None and is_number else text


def _keys(name: str) -> list[tuple[str, str | None]]:
    """Return the keys in the folders of a path, each with its value; None for a missing one."""
    found = (_KEY.fullmatch(part) for part in name.split("/")[:-1])
    pairs = ((unquote(key[1]), unquote(key[2])) for key in found if key)
    return [(key, None if value == _EMPTY else value) for key, value in pairs]
