"""Rows of a file of JSON, YAML or a table, whatever wraps them: encoding, compression, one document or lines.

Recognised by content, not by name: gzip, UTF-16, UTF-32 and Windows-1252, a JSON array in a `.jsonl` file,
JSON lines in a `.json` file, a document around a list of rows, a table separated by semicolons or tabs. A
file that is something else (a Git LFS pointer, a web page, a workbook, a PDF) is refused by name with the
command that converts it.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from codecs import BOM_UTF8
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from core.errors import ConfigError, DataError, shell_command
from core.notices import note
from core.store.jsonl import Unreadable, json_value, numbered, read_errors, rows
from core.store.title_lines import TableStart, note_titles, table_start
from core.text.encodings import WINDOWS_1252, is_windows_1252, note_windows_1252
from core.text.literals import parsed_literal
from core.text.messages import is_conversation, is_message
from core.text.special_files import refuse_documents
from core.text.yaml_file import MAX_BYTES, parse_yaml

_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_TABLE_SUFFIXES = (".csv", ".tsv")
_YAML_SUFFIXES = (".yaml", ".yml")
_DELIMITERS = (",", ";", "\t", "|")
_LARGEST_CELL = 2**31 - 1
"""Limit of a cell, in characters; the default of `csv`, 131,072, is too small for long conversations."""
_SNIFFED = 65_536
_TABBED_LINES = 20
_ROW_KEYS = frozenset(
    {"prompt", "messages", "conversations", "chosen", "completion", "instruction", "question"}
)
"""Columns that tell a row from a document that holds rows."""
_TALKS = frozenset({"messages", "conversations"})
"""Those of them that are also what an export may call its list of rows."""
_WRAPPERS = ("data", "rows", "examples", "instances", "records", "results", "items", "train")
"""Keys under which a JSON document may hold its rows."""
_WRAPPED_DEPTH = 3
"""Objects within objects in which a list of rows is looked for."""
_ROLE = "role"
_MESSAGE_KEYS = (_ROLE, "from")
_EXCHANGE = frozenset({"input", "output"})
"""Columns of an exchange, several of which are a conversation."""
NOT_UTF8 = "not UTF-8 text"
_LFS, _ANNEX, _GZIP = b"version https://git-lfs", b"/annex/objects/", b"\x1f\x8b"
_FOREIGN = (
    (b"PAR1", "a Parquet file", "a name that ends in .parquet"),
    (
        b"PK\x03\x04",
        "a ZIP archive or an Excel workbook",
        "the file inside it; a workbook saved as CSV UTF-8",
    ),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "the file after `zstd -d`"),
    (b"BZh", "compressed with bzip2", "the file after `bunzip2`"),
    (b"\xfd7zXZ", "compressed with xz", "the file after `unxz`"),
    (b"ARROW1", "an Arrow file", "a name that ends in .arrow"),
    (b"SQLite format 3", "an SQLite database", "a table exported as CSV"),
)


class FileRow(NamedTuple):
    """One row of a file."""

    number: int
    """Number from 1: the line in a file of lines, otherwise the position."""
    is_line: bool
    """True if the number is that of a line."""
    value: Any
    """A mapping of columns if the row is valid; `Unreadable` if it could not be read."""


def kind_of(path: Path) -> str:
    """Return the suffix of a file without `.gz`, in lower case."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def is_read_here(path: Path) -> bool:
    """Return True if a path ends like a file that `file_rows` reads. It need not exist."""
    return kind_of(path) in (*_JSON_SUFFIXES, *_TABLE_SUFFIXES, *_YAML_SUFFIXES)


def is_yaml(path: Path) -> bool:
    """Return True if a path ends like a YAML file."""
    return kind_of(path) in _YAML_SUFFIXES


def is_table(path: Path) -> bool:
    """Return True if a file is a table: by its name, or a text file whose first lines have the same tabs.

    Spreadsheet programs save a sheet as such a text file ("Unicode text").
    """
    if kind_of(path) != ".txt":
        return kind_of(path) in _TABLE_SUFFIXES
    try:
        if not path.is_file():  # a named pipe would be waited for
            return False
        with path.open("rb") as file:
            head = file.read(_SNIFFED)
    except (OSError, ValueError):
        return False  # whoever reads the file reports this
    lines = head.decode(json.detect_encoding(head), "replace").lstrip("\ufeff").splitlines()[:_TABBED_LINES]
    tabs = {line.count("\t") for line in lines if line.strip()}
    return len(lines) > 1 and len(tabs) == 1 and tabs != {0}


def refuse_pointers(path: Path, accepted: str) -> bytes:
    """Refuse a file that stands for the data, a pointer of Git LFS or git-annex or a web page, or a document.

    Returns:
        The first bytes of the file.

    Raises:
        DataError: if it is one of these, with the command that gets the data.
    """
    with read_errors(path, accepted), path.open("rb") as file:
        head = file.read(1024)
    if head.startswith(_LFS):
        size = next((line[5:] for line in head.split(b"\n") if line.startswith(b"size ")), b"")
        held = f" ({int(size):,} bytes)" if size.strip().isdigit() else ""
        raise DataError(
            f"this is a Git LFS pointer to the data{held}, not the data itself",
            where=str(path),
            run=shell_command("git", "lfs", "pull", "--include", path),
        )
    if _ANNEX in head[:400] and len(head) < 1024:
        what = "this is a git-annex pointer, not the data"
        raise DataError(what, where=str(path), run=shell_command("git", "annex", "get", path))
    if head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise DataError("this is a web page, not data", where=str(path), accepted="the file's raw download")
    refuse_documents(path, "its text saved as .txt, one prompt on each line, or a table saved as CSV UTF-8")
    return head


def file_rows(path: Path, accepted: str) -> Iterator[FileRow]:
    """Yield the rows of a `.jsonl`, `.ndjson`, `.json`, `.yaml`, `.csv` or `.tsv` file, each also as gzip.

    A text file is read if it is a table (`is_table`). Cells of tables are text, or None if they are empty. A
    cell that spells out a list of messages is that list.

    Args:
        path: the file.
        accepted: the kinds of files that are accepted, for errors.

    Raises:
        DataError: if the file cannot be read at all, or is of another kind.
    """
    start = refuse_pointers(path, accepted)
    for mark, what, instead in _FOREIGN:
        if start.startswith(mark):
            raise DataError(f"this file is {what}", where=str(path), accepted=instead)
    with read_errors(path, accepted, also=(csv.Error,)), path.open("rb") as plain:
        packed = plain.read(2) == _GZIP
        plain.seek(0)
        file: IO[bytes] = gzip.GzipFile(fileobj=plain) if packed else plain  # type: ignore[assignment]
        head = file.read(_SNIFFED)
        if (
            path.suffix == ".gz"
            and not packed
            and not head.lstrip(BOM_UTF8 + b" \t\r\n").startswith((b"{", b"["))
        ):
            raise DataError("cannot be read: not a gzip file", where=str(path), accepted=accepted)
        file.seek(0)
        encoding = json.detect_encoding(head)
        wide: str | None = encoding if encoding.startswith(("utf-16", "utf-32")) else None
        if wide is None and is_windows_1252(file):
            note_windows_1252(path)
            wide = WINDOWS_1252
        try:
            if kind_of(path) in (*_TABLE_SUFFIXES, ".txt"):
                yield from _table(file, head, wide, path)
            elif is_yaml(path):
                yield from _yaml(file, wide, path)
            else:
                yield from _json(file, head, wide, path)
        except UnicodeDecodeError as error:
            what = f"not {wide or 'UTF-8'} text: {error.reason}"
            raise DataError(what, where=str(path), accepted=accepted) from error


# JSON


def _json(file: IO[bytes], head: bytes, wide: str | None, path: Path) -> Iterator[FileRow]:
    """Yield the rows of JSON lines, or of one document."""
    start = head.decode(wide or "utf-8", "replace").lstrip("\ufeff \t\r\n")
    if start[:1] == "{" and "\n" not in start:  # a first row that is longer than the head
        start = _first_line(file, wide)
    first_line = json_value(start.partition("\n")[0])
    one_line = not isinstance(first_line, Unreadable)
    if start[:1] == "[" or kind_of(path) == ".json" or (start[:1] == "{" and not one_line):
        content = file.read()
        text: str | bytes = content.decode(wide) if wide else content.removeprefix(BOM_UTF8)
        found = _document(text, kind_of(path) == ".json", one_line, str(path))
        if found is not None:
            yield from (FileRow(number, False, value) for number, value in enumerate(found, start=1))
            return
        file.seek(0)
    if wide:
        with io.TextIOWrapper(file, encoding=wide, newline="\n") as lines:
            yield from (FileRow(number, True, value) for number, value in _wide_rows(lines))
    else:
        yield from (FileRow(number, True, value) for number, value in rows(file))


def _yaml(file: IO[bytes], wide: str | None, path: Path) -> Iterator[FileRow]:
    """Yield the rows of a YAML document: a list of rows, or a mapping around one.

    Raises:
        DataError: if it is not plain YAML (no anchors, aliases or tags), or exceeds its limits.
    """
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        accepted = f"at most {MAX_BYTES:,} bytes of YAML; the same rows as .jsonl, of any size"
        raise DataError("the file is too large", where=str(path), accepted=accepted)
    try:
        document = parse_yaml(content.decode(wide or "utf-8-sig").lstrip("\ufeff"), path).value
    except ConfigError as error:
        raise DataError.of(error.problems) from error
    if not isinstance(document, list | Mapping):
        accepted = "a list of mappings, as in - {prompt: ...}, or of texts"
        raise DataError("the file holds no list of rows", where=str(path), accepted=accepted)
    found = document if isinstance(document, list) else _unwrapped(document, str(path))
    yield from (FileRow(number, False, value) for number, value in enumerate(found, start=1))


def _first_line(file: IO[bytes], wide: str | None) -> str:
    """Return the first line, whatever its length, and return to the beginning."""
    file.seek(0)
    if wide:
        text = io.TextIOWrapper(file, encoding=wide, newline="\n")
        line = text.readline()
        text.detach()
    else:
        line = file.readline().decode("utf-8", "replace")
    file.seek(0)
    return line.lstrip("\ufeff \t\r\n")


def _wide_rows(lines: IO[str]) -> Iterator[tuple[int, Any]]:
    return ((number, json_value(line.lstrip("\ufeff"))) for number, line in numbered(lines))


def _document(content: str | bytes, is_json: bool, one_line: bool, where: str) -> Sequence[Any] | None:
    """Return the rows of one JSON document, or of several one after the other; None if it has lines.

    Args:
        content: the whole file.
        is_json: True if the file's name ends in `.json`.
        one_line: True if its first line is JSON by itself.
        where: the file, for errors.
    """
    whole = json_value(content.lstrip("\ufeff") if isinstance(content, str) else content)
    if isinstance(whole, list):
        return whole if is_json or any(isinstance(row, Mapping) for row in whole) else None
    if isinstance(whole, Mapping):
        return _unwrapped(whole, where) if is_json or not one_line else None
    if isinstance(whole, Unreadable):
        if one_line:
            return None
        several = _concatenated(content)
        lines = content.splitlines()[1:3]
        if not several and any(isinstance(json_value(line), Mapping) for line in lines):
            return None  # one row a line, and the first is damaged
        return several or ([whole] if is_json else None)
    return [whole] if is_json else None


def _concatenated(content: str | bytes) -> list[Any]:
    """Return JSON values that follow each other, each over several lines; empty if they are none."""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    decoder, found, place = json.JSONDecoder(), [], 0
    text = text.strip().lstrip("\ufeff")
    try:
        while place < len(text):
            value, place = decoder.raw_decode(text, place)
            found.append(value)
            place += len(text[place : place + 64]) - len(text[place : place + 64].lstrip())
    except (ValueError, RecursionError):
        return []
    return found if len(found) > 1 else []


def _unwrapped(document: Mapping[str, Any], where: str) -> Sequence[Any]:
    """Return the rows of a JSON object: under a usual key or the only one, by column, or the object itself.

    Raises:
        DataError: if it holds several lists of rows.
    """
    if any(name not in _TALKS or _is_cell(document[name]) for name in _ROW_KEYS & document.keys()):
        return _of_columns(document) or [document]
    for name in _WRAPPERS:
        held = document.get(name)
        if isinstance(held, list) and _are_rows(held):
            lists = [own for own, value in document.items() if own != "features" and _are_rows(value)]
            if len(lists) > 1:
                what = f"the document holds several lists of rows: {', '.join(lists)}"
                raise DataError(what, where=where, accepted="a file for each of them")
            # The API of Hugging Face's data set server wraps each row once more.
            return [row["row"] if isinstance(row.get("row"), Mapping) else row for row in held]
    return _of_columns(document) or _only_list(document, where) or [document]


def _only_list(document: Mapping[str, Any], where: str) -> list[Any] | None:
    """Return the only list of rows in a document that is an export of some program, and say where it is.

    Raises:
        DataError: if there are several such lists.
    """
    found = dict(_lists_of_rows(document, _WRAPPED_DEPTH))
    if len(found) > 1:
        what = f"the document holds several lists of rows: {', '.join(found)}"
        raise DataError(what, where=where, accepted="a file for each of them")
    for name, held in found.items():
        _note_list(where, name)
        return held
    return None


@cache
def _note_list(where: str, name: str) -> None:
    """Say once for each file which of its parts is read."""
    note(f"{where}: the rows are those of {name!r}")


def _lists_of_rows(document: Mapping[str, Any], depth: int) -> Iterator[tuple[str, list[Any]]]:
    """Yield the lists of rows under the keys of a document, by dotted path."""
    for name, value in document.items():
        if _are_rows(value) and (len(value) > 1 or name in _TALKS):
            yield str(name), value
        elif isinstance(value, Mapping) and depth > 1:
            yield from ((f"{name}.{inner}", held) for inner, held in _lists_of_rows(value, depth - 1))


def _of_columns(document: Mapping[str, Any]) -> list[Any] | None:
    """Return the rows of an object with a mapping or a list for each column; None if it is no such object."""
    columns = list(document.values())
    listed = [value for value in columns if isinstance(value, list) and not is_conversation(value)]
    if len(columns) > 1 and len(listed) == len(columns) and len(set(map(len, listed))) == 1 and listed[0]:
        return [dict(zip(document, row, strict=True)) for row in zip(*listed, strict=True)]
    keys = [list(c) if isinstance(c, Mapping) else None for c in columns]
    if (
        len(columns) > 1
        and keys[0]
        and all(own == keys[0] for own in keys)
        and all(map(str.isdigit, keys[0]))
    ):
        return [{name: document[name][key] for name in document} for key in keys[0]]  # as pandas writes it
    is_alike = bool(keys and keys[0]) and all(own == keys[0] for own in keys)
    if is_alike and _ROW_KEYS & set(keys[0] or ()) and not set(_WRAPPERS) & document.keys():
        return columns  # pandas with orient="index": one mapping for each row, under its name
    return None


def _is_cell(value: Any) -> bool:
    """Return True if a value is a row's conversation, of messages or exchanges, and not a list of rows."""
    return not _are_rows(value) or all(row.keys() >= _EXCHANGE for row in value)


def _are_rows(value: Any) -> bool:
    is_list = isinstance(value, list) and bool(value) and all(map(_is_row, value))
    return is_list and not is_conversation(value)


def _is_row(value: Any) -> bool:
    return isinstance(value, Mapping) and _ROLE not in value and not is_message(value)


# Tables


def _table(file: IO[bytes], head: bytes, wide: str | None, path: Path) -> Iterator[FileRow]:
    """Yield the rows of a table. Bytes that are not UTF-8 affect only their row."""
    csv.field_size_limit(_LARGEST_CELL)
    first = head.decode(wide or "utf-8", "replace").lstrip("\ufeff")
    encoding, errors = (wide, "strict") if wide else ("utf-8-sig", "surrogateescape")
    with io.TextIOWrapper(file, encoding=encoding, errors=errors, newline="") as text:
        if first.startswith("sep="):  # the line by which Excel is told the separator
            delimiter = text.readline().lstrip("\ufeff").rstrip("\r\n")[4:5] or ","
        else:
            delimiter = _delimiter(first, "\t" if kind_of(path) == ".tsv" else ",")
        lines = (line.lstrip("\ufeff") if number == 0 else line for number, line in enumerate(text))
        delimiter, titles = _start(first, delimiter, whole=len(head) < _SNIFFED)
        reader = csv.DictReader(lines, delimiter=delimiter)
        if titles:
            note_titles(str(path), titles)
            deque(islice(reader.reader, len(titles)), maxlen=0)
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        twice = [name for name, count in Counter(reader.fieldnames).items() if count > 1 and name]
        if twice:
            what = f"the table has the column {twice[0]!r} twice"
            raise DataError(what, where=str(path), accepted="one name for each column")
        for number, row in enumerate(reader, start=1):
            yield FileRow(number, False, _cells(row))


def _start(first: str, delimiter: str, *, whole: bool) -> TableStart:
    """Return where a table begins. A separator that its first line names is the one."""
    if first.startswith("sep="):
        return table_start(first.partition("\n")[2], delimiter, whole=whole)
    return table_start(first, delimiter, _DELIMITERS, whole=whole)


def _delimiter(head: str, usual: str) -> str:
    """Return the separator that gives the first line the most cells; the usual one if several do."""
    lines = head.lstrip("\r\n").splitlines()
    if not lines:
        return usual
    cells = {mark: len(next(csv.reader([lines[0]], delimiter=mark), [])) for mark in _DELIMITERS}
    most = max(cells.values())
    return usual if cells.get(usual) == most else next(mark for mark in _DELIMITERS if cells[mark] == most)


def _cells(row: dict[Any, Any]) -> Any:
    """Return the cells of a row by column."""
    surplus = row.pop(None, None)
    if surplus:
        cells = "cell" if len(surplus) == 1 else "cells"
        return Unreadable(f"{len(surplus)} more {cells} than columns")
    for name, cell in row.items():
        try:
            f"{name}{cell or ''}".encode()
        except UnicodeEncodeError:
            return Unreadable(NOT_UTF8)
    return {name: _cell(cell) for name, cell in row.items()}


def _cell(text: str | None) -> Any:
    """Return a cell: None if it is empty, the messages if it spells out a list of them, else its text."""
    if not text or text.lstrip()[:1] not in ("[", "{"):
        return text or None
    found = parsed_literal(text)
    listed = found if isinstance(found, list) else [found]
    is_talk = listed and all(isinstance(m, Mapping) and any(k in m for k in _MESSAGE_KEYS) for m in listed)
    return found if is_talk else text
