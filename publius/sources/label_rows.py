"""The rows of a file of labels, one at a time, each with its number. A broken line is a row with a problem.

JSON lines and CSV are read here, since a single broken line must not end an import. A JSON document has to be
read whole. Parquet, folders and the Hugging Face hub go through `datasets`.
"""

from __future__ import annotations

import csv
import io
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from core.errors import DataError
from core.store.files import os_errors
from core.store.jsonl import Unreadable, json_value, opened, read_errors, rows
from labelers.formats.source import Row
from labelers.formats.tools.icai import unfolded
from publius.sources.rows import DataSource, read_rows

_LINES = (".jsonl", ".ndjson")
_TABLES = {".csv": ",", ".tsv": "\t"}
_LARGEST_CELL = 2**31 - 1
"""Limit of a cell, in characters; the default of `csv`, 131,072, is too small for long conversations."""
ACCEPTED = (
    "a .jsonl, .json, .csv, .tsv (each also .gz) or .parquet file, a data set folder, or a Hugging Face id"
)


def label_rows(source: DataSource) -> Iterator[Row]:
    """Yield the rows of a file or data set, in order.

    Raises:
        DataError: if the file does not exist, or cannot be read at all.
        MissingExtraError: if the package datasets is needed and not installed.
    """
    path = source.path
    with os_errors(path):
        is_file = path.is_file()
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if not is_file or suffix not in (*_LINES, *_TABLES, ".json"):
        found = enumerate(read_rows(source), start=1)
        yield from (Row(number, row.values) for number, row in found)
        return
    if source.subset is not None or source.split not in (None, "train"):
        what = f"a file has no subsets or splits, but {source.subset or source.split!r} was requested"
        raise DataError(what, where=str(path), accepted="a file without --subset and --split")
    with read_errors(path, ACCEPTED, also=(csv.Error,)), opened(path) as file:
        if suffix in _TABLES:
            yield from _table(file, _TABLES[suffix])
        elif suffix == ".json":
            yield from _document(file)
        else:
            yield from _lines(file)


def _lines(file: IO[bytes]) -> Iterator[Row]:
    return (_row(number, value) for number, value in rows(file))


def _row(number: int, value: Any) -> Row:
    return Row(number, None, _problem(value)) if isinstance(value, Unreadable) else Row(number, value)


def _problem(found: Unreadable) -> str:
    """Return the problem of a row, as it is stored in the exclusions of an import."""
    if found.byte is not None:
        return f"{found.what} at byte {found.byte}"
    return found.what if found.column is None else f"{found.what} (column {found.column})"


def _document(file: IO[bytes]) -> Iterator[Row]:
    """Yield the rows of one JSON document: a list, annotated pairs, or one row; if it is none, read lines."""
    content = file.read().removeprefix(BOM_UTF8)
    whole = json_value(content)
    if isinstance(whole, Unreadable):
        yield from _lines(io.BytesIO(content))
        return
    found: Any = whole if isinstance(whole, list) else None
    if isinstance(whole, dict):
        found = unfolded(whole) or [whole]
    if found is None:
        found = [whole]
    yield from (Row(number, row) for number, row in enumerate(found, start=1))


def _table(file: IO[bytes], delimiter: str) -> Iterator[Row]:
    """Yield the rows of a table, with every cell as text. Bytes that are not UTF-8 affect only their row."""
    csv.field_size_limit(_LARGEST_CELL)
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        for number, row in enumerate(csv.DictReader(text, delimiter=delimiter), start=1):
            surplus = row.pop(None, None)
            problem = f"{len(surplus)} more cells than columns" if surplus else None
            yield Row(number, row, problem)
