"""Prompts from a file, a folder or the Hugging Face hub: rows of any form, one at a time.

A row that cannot be used is skipped with its place and the reason. Errors are raised only for problems of the
whole data set: a file that cannot be read, a mapped column that does not exist, or not one usable row.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from core.conversations import shown
from core.digests import file_digest
from core.errors import DataError, RequestError
from core.records import Prompt, Split
from core.store.containers import file_rows, is_read_here, is_table, is_yaml, kind_of
from core.store.files import os_errors
from core.store.jsonl import Unreadable, read_errors
from core.text.special_files import require_regular
from labelers.formats.prompt_columns import refuse_media
from labelers.formats.source import Row
from prompts.conditions import Conditions, condition_columns, unmet_condition
from prompts.rows import ADDED_COLUMNS, PROMPT_COLUMN_ORDER, ParsedRow, prompt_of_row
from prompts.sources import Html, Quotes, ToolTurns, may_be_on_hub
from publius.sources.asked_rows import asked_of_row
from publius.sources.column_names import ColumnNames, at_paths, top_columns, without_mapped
from publius.sources.rows import DataSource, SourceRow, read_rows, with_split
from publius.sources.splits.own_column import ALL_SPLITS, with_split_of_run
from publius.sources.texts.chat_exports import NOT_MESSAGES
from publius.sources.texts.lines import text_rows
from publius.sources.texts.reading import IN_RUN_FILE, TextReading, Ways
from publius.sources.texts.tools import reason_with_setting, row_without_tools

PROMPT_FORMS = (
    "a .jsonl, .json, .yaml, .csv, .tsv, .txt (each also .gz) or .parquet file, a data set folder, or a "
    "Hugging Face id; with a column prompt, messages, conversations, question, "
    "instruction (and input), query or text"
)
_MARK = "\0"
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


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
    def split(self) -> str | Mapping[Any, str] | None:
        """Split of the data set, as in `datasets`, or its split (of a file: the rows) for each of the run."""
        ...

    @property
    def columns(self) -> Mapping[Any, str]:
        """The user's column for each of ours."""
        ...

    @property
    def where(self) -> Conditions:
        """Values that columns of a row must have for it to be used."""
        ...

    @property
    def keep(self) -> Sequence[str] | None:
        """Columns to carry to the export; None for all short ones that are not read."""
        ...

    @property
    def html(self) -> Html | None:
        """What becomes of HTML in the texts; None to keep it, with a warning."""
        ...

    @property
    def tools(self) -> ToolTurns | None:
        """What becomes of conversations with calls of tools; None to skip them where that is no setting."""
        ...

    @property
    def quotes(self) -> Quotes | None:
        """What becomes of quoted mail and signatures; None to keep them, with a warning."""
        ...


@dataclass(frozen=True)
class PromptFile:
    """A data set of prompts without settings of its own."""

    path: Path
    subset: str | None = None
    split: str | Mapping[Any, str] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    where: Conditions = field(default_factory=dict)
    keep: Sequence[str] | None = None
    html: Html | None = None
    tools: ToolTurns | None = None
    quotes: Quotes | None = None


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
    tools: int = 0
    """Number of tool turns that were left out of its conversation."""


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
        if row.reason in NOT_MESSAGES:
            continue
        if row.parsed is None:
            what = f"{row.reason} ({row.detail})" if row.detail else row.reason
            raise DataError(what, where=str(given.path.parent / row.place), accepted=PROMPT_FORMS)
        yield row.parsed.prompt
    if empty:
        raise _no_prompts(given)


def read_prompt_rows(
    source: PromptSource, apart: Iterable[str] = (), ways: Ways = IN_RUN_FILE
) -> Iterator[PromptRow]:
    """Yield every row of a data set, in order.

    Args:
        source: the data set.
        apart: columns of the user's that hold anything but the prompt, whatever they are called.
        ways: what reads skipped conversations, as their reason says it.

    Raises:
        DataError: the data set, subset or split does not exist, or cannot be read at all.
        MissingExtraError: the package datasets is needed and not installed.
    """
    path = source.path.expanduser()
    name, from_table = _stem(path), is_table(path)
    reading = TextReading(source.html, source.quotes)
    own_splits = source.split if isinstance(source.split, Mapping) and path.is_file() else None
    for raw in _rows(path, source):
        if not isinstance(raw.values, Mapping):
            yield _without_columns(raw)
            continue
        values = _mapped(without_mapped(raw.values, apart), source.columns, is_text=from_table)
        absent = frozenset(source.columns.keys() - values.keys())
        unmet = unmet_condition(at_paths(raw.values, condition_columns(source.where)), source.where)
        if unmet is not None:
            yield PromptRow(raw.place, raw.values, None, unmet, absent=absent)
            continue
        dropped = 0
        try:
            first = _prompt_columns(source.columns, absent)
            if source.tools == "drop":
                values, dropped = row_without_tools(values)
            refuse_media(values)
            if own_splits is not None:
                values = with_split_of_run(values, own_splits)
            asked = partial(asked_of_row, first=first)
            parsed = prompt_of_row(values, name, asked, source.columns, is_table=from_table)
        except RequestError as error:
            why = reason_with_setting(error.reason, error.detail, values, source.tools, ways.tools)
            yield PromptRow(raw.place, raw.values, None, *why, absent)
            continue
        if raw.split is not None:
            prompt = parsed.prompt.model_copy(update={"split": raw.split})
            lost = tuple(name for name in parsed.lost if name != "split")
            parsed = parsed._replace(prompt=prompt, lost=lost, split_name="")
        as_read = reading.prompt(parsed.prompt)
        notes = (parsed.note, reading.note_of(parsed.prompt, as_read))
        parsed = parsed._replace(prompt=as_read, note=", ".join(filter(None, notes)))
        mapped = (source.columns.get(column, column) for column in parsed.read)
        read = frozenset(name for theirs in mapped for name in top_columns(theirs, raw.values))
        yield PromptRow(raw.place, raw.values, parsed._replace(read=read), absent=absent, tools=dropped)


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
    split: Split | None = None
    """Split of the run that `prompts.split` gives to the row."""


def _rows(path: Path, source: PromptSource) -> Iterator[_Raw]:
    """Yield the rows of a data set; a line of a text file is the column `prompt`."""
    require_regular(path)
    with os_errors(path):
        exists, is_file = path.exists(), path.is_file()
    if not exists and not may_be_on_hub(source.path):
        raise DataError("no such file or folder", where=str(source.path), accepted=PROMPT_FORMS)
    is_text = is_file and kind_of(path) == ".txt" and not is_table(path)
    has_column = is_file and not is_text  # in which rows may name their splits
    whole = source.split in (None, "train") or (has_column and isinstance(source.split, Mapping))
    if is_file and (source.subset is not None or not whole):
        named = source.split if isinstance(source.split, str) else ", ".join((source.split or {}).values())
        what = f"a file has no subsets or splits, but {source.subset or named!r} was requested"
        raise DataError(
            what,
            where=str(path),
            accepted="a file without prompts.subset and prompts.split, or for a table with a column split: "
            "prompts.split: {train: dev, test: test}",
        )
    if is_text:
        for number, values in text_rows(path, PROMPT_FORMS):
            yield _Raw(f"{path.name}:{number}", values)
    elif is_file and (is_read_here(path) or is_table(path)):
        for row in file_rows(path, PROMPT_FORMS):
            is_text = is_yaml(path) and isinstance(row.value, str)
            value = {"prompt": row.value} if is_text else row.value
            yield _Raw(f"{path.name}:{row.number}" if row.is_line else f"{path.name} row {row.number}", value)
    else:
        yield from _rows_of_splits(path, source)


def _rows_of_splits(path: Path, source: PromptSource) -> Iterator[_Raw]:
    """Yield the rows of a data set through `datasets`, each split of the run after the other."""
    if path.is_file() or not isinstance(source.split, Mapping):
        split = None if isinstance(source.split, Mapping) else source.split
        data = with_split(DataSource(str(source.path), source.subset, split, "prompts"))
        yield from (_Raw(_place_in(path, row), row.values) for row in read_rows(data))
        return
    for ours, theirs in source.split.items():
        data = DataSource(str(source.path), source.subset, theirs, "prompts")
        for row in read_rows(data):
            place = _place_in(path, row) if row.file else f"{path.name} {theirs} {row.id}"
            yield _Raw(place, row.values, None if ours == ALL_SPLITS else ours)


def _place_in(path: Path, row: SourceRow) -> str:
    """Return the place of a row in a folder or data set: by its file, if the folder has several."""
    return f"{path.name}/{row.file}" if row.file else f"{path.name} {row.id}"


def _without_columns(raw: _Raw) -> PromptRow:
    """Return a row that could not be read; the place of the mistake is the detail, as rows are counted."""
    found = raw.values
    if not isinstance(found, Unreadable):
        return PromptRow(raw.place, {}, None, "the row is not an object with columns", shown(found))
    detail = str(found).removeprefix(found.what).strip()
    return PromptRow(raw.place, {}, None, found.what, detail)


def _mapped(values: Mapping[str, Any], columns: Mapping[str, str], *, is_text: bool) -> Mapping[str, Any]:
    """Return a row with the user's columns under our names alone. What has such a name itself is not read."""
    if not columns:
        return values
    marked = ColumnNames({f"{_MARK}{ours}": theirs for ours, theirs in columns.items()})
    found: Mapping[str, Any] = next(marked.applied([Row(1, values)])).values
    own = without_mapped(values, columns.values())
    kept = {name: value for name, value in own.items() if name not in columns}
    ours = {ours: found[f"{_MARK}{ours}"] for ours in columns if f"{_MARK}{ours}" in found}
    if "tags" in ours:
        ours["tags"] = _tags_of_cell(ours["tags"], columns["tags"], is_text=is_text)
    return kept | ours


def _tags_of_cell(cell: Any, column: str, *, is_text: bool) -> Any:
    """Return the column's name for a true cell, nothing for a false one, and any other cell as it is.

    Args:
        cell: the cell of the column that `tags` is mapped to.
        column: the name of that column.
        is_text: True if all cells are text, as in CSV, where text spells truth values.
    """
    if is_text and isinstance(cell, str) and cell.strip().casefold() in ("true", "false"):
        cell = cell.strip().casefold() == "true"
    if not isinstance(cell, bool):
        return cell
    return [column] if cell else None


def _prompt_columns(columns: Mapping[str, str], absent: frozenset[str]) -> tuple[str, ...]:
    """Return the mapped columns that hold the prompt. Raises RequestError if the row lacks one."""
    mapped = tuple(name for name in PROMPT_COLUMN_ORDER if name in columns and name not in ADDED_COLUMNS)
    missing = [columns[name] for name in mapped if name in absent]
    if missing:
        raise RequestError(f"the row has no column {missing[0]!r}")
    return mapped


def _stem(path: Path) -> str:
    """Return a file's name without its endings; a data set's name as it is."""
    name = path.name.removesuffix(".gz")
    return Path(name).stem if path.is_file() else str(path) if not path.exists() else path.name


def _no_prompts(source: PromptSource) -> DataError:
    return DataError("the file contains no prompts", where=str(source.path), accepted=PROMPT_FORMS)
