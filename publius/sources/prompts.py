"""Prompts from a file, a folder or the Hugging Face hub: rows of any form, one at a time.

A row that cannot be used is skipped with its place and the reason. Errors are raised only for problems of the
whole data set: a file that cannot be read, a mapped column that does not exist, or not one usable row.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from core.conversations import shown
from core.digests import file_digest
from core.errors import DataError, RequestError
from core.records import Prompt
from core.store.containers import file_rows, is_read_here, kind_of, refuse_pointers
from core.store.files import os_errors
from core.store.jsonl import Unreadable, decoded, numbered, opened, read_errors
from core.text.special_files import require_regular
from labelers.formats.prompt_columns import refuse_media
from labelers.formats.source import Row
from prompts.rows import ADDED_COLUMNS, PROMPT_COLUMN_ORDER, ParsedRow, prompt_of_row
from prompts.sources import may_be_on_hub
from publius.sources.asked_rows import asked_of_row
from publius.sources.column_names import ColumnNames
from publius.sources.rows import DataSource, read_rows, with_split

PROMPT_FORMS = (
    "a .jsonl, .json, .csv, .tsv, .txt (each also .gz) or .parquet file, a data set folder, or a Hugging "
    "Face id; with a column prompt, messages, conversations, question, instruction (and input), query or text"
)
_MARK = "\0"
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_TABLES = (".csv", ".tsv")


class PromptSource(Protocol):
    """What to read; the section `prompts` of a run file is one."""

    @property
    def path(self) -> Path:
        """A file or folder, or a Hugging Face id."""
        ...

    @property
    def subset(self) -> str | None:
        """Subset (configuration) of the data set."""
        ...

    @property
    def split(self) -> str | None:
        """Split of the data set, as in `datasets`."""
        ...

    @property
    def columns(self) -> Mapping[Any, str]:
        """The user's column for each of ours."""
        ...

    @property
    def keep(self) -> Sequence[str] | None:
        """Columns to carry to the export; None for all short ones that are not read."""
        ...


@dataclass(frozen=True)
class PromptFile:
    """A data set of prompts without settings of its own."""

    path: Path
    subset: str | None = None
    split: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    keep: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One row, with its prompt or the reason why it is skipped."""

    place: str
    """Place of the row by the file's name: `tickets.jsonl:17`, or `tickets.csv row 17`."""
    values: Mapping[str, Any]
    """The row as it was read; empty if it is not an object with columns."""
    parsed: ParsedRow | None
    reason: str = ""
    detail: str = ""
    absent: frozenset[str] = frozenset()
    """Our names of mapped columns that the row does not have."""


def read_prompts(source: PromptSource | Path | str) -> Iterator[Prompt]:
    """Yield the prompts of a file, a data set folder or a Hugging Face id.

    Raises:
        DataError: the data set cannot be read, or at the first row that is not a prompt, with its place.
        ConfigError: the path is a device or a named pipe.
    """
    given = PromptFile(Path(source)) if isinstance(source, Path | str) else source
    empty = True
    for row in read_prompt_rows(given):
        empty = False
        if row.parsed is None:
            what = f"{row.reason} ({row.detail})" if row.detail else row.reason
            raise DataError(what, where=str(given.path.parent / row.place), accepted=PROMPT_FORMS)
        yield row.parsed.prompt
    if empty:
        raise _no_prompts(given)


def read_prompt_rows(source: PromptSource) -> Iterator[PromptRow]:
    """Yield every row of a data set, in order.

    Raises:
        DataError: the data set, subset or split does not exist, or cannot be read at all.
        MissingExtraError: the package datasets is needed and not installed.
    """
    path = source.path.expanduser()
    name, is_table = _stem(path), kind_of(path) in _TABLES
    for raw in _rows(path, source):
        if not isinstance(raw.values, Mapping):
            yield _without_columns(raw)
            continue
        values = _mapped(raw.values, source.columns)
        absent = frozenset(source.columns.keys() - values.keys())
        try:
            first = _prompt_columns(source.columns, absent)
            refuse_media(values)
            asked = partial(asked_of_row, first=first)
            parsed = prompt_of_row(values, name, asked, source.columns, is_table=is_table)
        except RequestError as error:
            yield PromptRow(raw.place, raw.values, None, error.reason, error.detail, absent)
            continue
        read = frozenset(_top(source.columns.get(column, column), raw.values) for column in parsed.read)
        yield PromptRow(raw.place, raw.values, parsed._replace(read=read), absent=absent)


def digest_of(source: PromptSource) -> str:
    """Return a digest of the content of a data set: of a file's bytes, or of all rows.

    Raises:
        DataError: the data set does not exist or cannot be read.
        ConfigError: the path is a device or a named pipe.
    """
    path = source.path.expanduser()
    require_regular(path)
    if path.is_file():
        with read_errors(path, PROMPT_FORMS):
            return file_digest(path)
    found = hashlib.sha256()
    for row in _rows(path, source):
        found.update(_spelled(row.values).encode() + b"\n")
    return found.hexdigest()


def _spelled(values: Any) -> str:
    """Return a row as text that is the same whenever the row is read."""
    try:
        return json.dumps(values, sort_keys=True, default=_described)
    except TypeError:  # keys of several types have no order
        return json.dumps(_with_text_keys(values), sort_keys=True, default=_described)


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _with_text_keys(held) for key, held in value.items()}
    return [_with_text_keys(held) for held in value] if isinstance(value, list | tuple) else value


def _described(value: Any) -> str:
    """Return a cell that JSON lacks as text: an image or an array by its content, never by its address."""
    if hasattr(value, "tobytes"):
        size = getattr(value, "shape", None) or getattr(value, "size", None)
        mode = getattr(value, "dtype", None) or getattr(value, "mode", None)
        return f"{type(value).__name__} {size} {mode} {hashlib.sha256(value.tobytes()).hexdigest()}"
    text = str(value)
    return type(value).__name__ if _ADDRESS.search(text) else text


class _Raw(NamedTuple):
    """A row before it is read as a prompt."""

    place: str
    values: Any
    """A mapping of columns if the row is valid; `Unreadable` if it could not be read."""


def _rows(path: Path, source: PromptSource) -> Iterator[_Raw]:
    """Yield the rows of a data set; a line of a text file is the column `prompt`."""
    require_regular(path)
    with os_errors(path):
        exists, is_file = path.exists(), path.is_file()
    if not exists and not may_be_on_hub(source.path):
        raise DataError("no such file or folder", where=str(source.path), accepted=PROMPT_FORMS)
    if is_file and (source.subset is not None or source.split not in (None, "train")):
        what = f"a file has no subsets or splits, but {source.subset or source.split!r} was requested"
        raise DataError(what, where=str(path), accepted="a file without prompts.subset and prompts.split")
    if is_file and kind_of(path) == ".txt":
        yield from _text_lines(path)
    elif is_file and is_read_here(path):
        for row in file_rows(path, PROMPT_FORMS):
            yield _Raw(
                f"{path.name}:{row.number}" if row.is_line else f"{path.name} row {row.number}", row.value
            )
    else:
        data = with_split(DataSource(str(source.path), source.subset, source.split))
        yield from (_Raw(f"{path.name} {row.id}", row.values) for row in read_rows(data))


def _text_lines(path: Path) -> Iterator[_Raw]:
    """Yield the lines of a text file that are not blank."""
    start = refuse_pointers(path, PROMPT_FORMS)
    encoding = "utf-16" if start.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else None
    with read_errors(path, PROMPT_FORMS), opened(path) as file:
        lines: Iterator[tuple[int, str | bytes]] = numbered(file)
        if encoding:
            lines = numbered(io.StringIO(file.read().decode(encoding), newline="\n"))
        for number, line in lines:
            text = decoded(line) if isinstance(line, bytes) else line
            if isinstance(text, Unreadable):
                yield _Raw(f"{path.name}:{number}", text)
            elif text.strip():  # also skips lines of Unicode white space
                yield _Raw(f"{path.name}:{number}", {"prompt": text.strip()})


def _without_columns(raw: _Raw) -> PromptRow:
    """Return a row that could not be read; the place of the mistake is the detail, as rows are counted."""
    found = raw.values
    if not isinstance(found, Unreadable):
        return PromptRow(raw.place, {}, None, "the row is not an object with columns", shown(found))
    detail = str(found).removeprefix(found.what).strip()
    return PromptRow(raw.place, {}, None, found.what, detail)


def _mapped(values: Mapping[str, Any], columns: Mapping[str, str]) -> Mapping[str, Any]:
    """Return a row with the user's columns under our names. Ours that are mapped are not read as they are."""
    if not columns:
        return values
    marked = ColumnNames({f"{_MARK}{ours}": theirs for ours, theirs in columns.items()})
    found: Mapping[str, Any] = next(marked.applied([Row(1, values)])).values
    kept = {name: value for name, value in values.items() if name not in columns}
    return kept | {ours: found[f"{_MARK}{ours}"] for ours in columns if f"{_MARK}{ours}" in found}


def _prompt_columns(columns: Mapping[str, str], absent: frozenset[str]) -> tuple[str, ...]:
    """Return the mapped columns that hold the prompt. Raises RequestError if the row lacks one."""
    mapped = tuple(name for name in PROMPT_COLUMN_ORDER if name in columns and name not in ADDED_COLUMNS)
    missing = [columns[name] for name in mapped if name in absent]
    if missing:
        raise RequestError(f"the row has no column {missing[0]!r}")
    return mapped


def _top(name: str, values: Mapping[str, Any]) -> str:
    """Return the column that a path such as `data.turns[0]` begins with."""
    return name if name in values else re.split(r"[.\[]", name, maxsplit=1)[0]


def _stem(path: Path) -> str:
    """Return a file's name without its endings; a data set's name as it is."""
    name = path.name.removesuffix(".gz")
    return Path(name).stem if path.is_file() else str(path) if not path.exists() else path.name


def _no_prompts(source: PromptSource) -> DataError:
    return DataError("the file contains no prompts", where=str(source.path), accepted=PROMPT_FORMS)
