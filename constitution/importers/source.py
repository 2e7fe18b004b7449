"""Foreign files: text, parsed content, and positions for messages."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import ConfigError, DataError
from core.store.files import os_errors
from core.text.encodings import SAVED_AS_UTF8, WINDOWS_1252, is_windows_1252, note_windows_1252, wide_encoding
from core.text.explain import Loc, yaml_line
from core.text.special_files import refuse_documents, require_regular
from core.text.yaml_file import YamlDocument, parse_yaml

MAX_SOURCE_BYTES = 4 * 1024 * 1024
"""Maximum file size; the same as for a constitution."""
MAX_SOURCE_DEPTH = 32
MAX_SOURCE_LINES = 100_000
"""Maximum number of non-empty lines in a table or a JSON Lines file."""
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
YAML_SUFFIXES = (".yaml", ".yml")
_LINES = (".jsonl", ".ndjson")


class Cells(NamedTuple):
    """One line of a table."""

    line: int
    values: list[str]


@dataclass(frozen=True)
class ForeignFile:
    """A file to import, read as text. `value` and `table` parse it as JSON, YAML or CSV."""

    path: Path
    text: str
    columns: Mapping[str, str] = field(default_factory=dict)
    """The file's column or key names, by our keys."""

    @property
    def name(self) -> str:
        """File name without the folder."""
        return self.path.name

    @property
    def suffix(self) -> str:
        """File extension in lower case, with the dot."""
        return self.path.suffix.lower()

    @cached_property
    def value(self) -> Any:
        """Content of the file, parsed as JSON, JSON Lines or YAML.

        Raises:
            DataError: The file is not valid in its format.
        """
        if self.suffix in YAML_SUFFIXES:
            return self._yaml.value
        if self.suffix in _LINES:
            return [value for _, value in self._lines]
        return _json(self.text, self.path)

    @cached_property
    def structured(self) -> bool:
        """True if the file is JSON or YAML, judging by its extension, else by its first character."""
        if self.suffix in (*JSON_SUFFIXES, *YAML_SUFFIXES):
            return True
        return self.suffix not in (".csv", ".tsv", ".txt", ".md", ".markdown") and self.text.lstrip()[:1] in (
            "[",
            "{",
        )

    def table(self, delimiter: str) -> Iterator[Cells]:
        """Yield the non-empty rows of a table.

        Raises:
            DataError: A quote is unclosed or misplaced, or there are too many lines.
        """
        reader = csv.reader(io.StringIO(self.text, newline=""), delimiter=delimiter, strict=True)
        try:
            count = 0
            for values in reader:
                if any(value.strip() for value in values):
                    count += 1
                    if count > MAX_SOURCE_LINES:
                        where, accepted = self.at(reader.line_num), f"at most {MAX_SOURCE_LINES:,}"
                        raise DataError("too many lines", where=where, accepted=accepted)
                    yield Cells(reader.line_num - sum(v.count("\n") for v in values), values)
        except csv.Error as error:
            what = f"not a table: {error}"
            accepted = 'doubled quotes within a cell, as in "a ""quoted"" word"'
            raise DataError(what, where=self.at(reader.line_num), accepted=accepted) from error

    def at(self, line: int, column: int | None = None) -> str:
        """Return the position `file:line`, or `file:line:column` if a column is given."""
        return f"{self.path}:{line}" + (f":{column}" if column else "")

    def where(self, *loc: str | int) -> str:
        """Return the position of a value: its line if known, else its path, as in `file:a.b[0]`."""
        if self.suffix in YAML_SUFFIXES:
            return self._yaml.where(loc)
        if self.suffix in _LINES and loc:
            line = self._lines[int(loc[0])][0]
            return ":".join([self.at(line), *filter(None, [_json_path(loc[1:])])])
        return f"{self.path}:{_json_path(loc)}" if loc else str(self.path)

    @cached_property
    def _yaml(self) -> YamlDocument:
        try:
            return parse_yaml(self.text, self.path)
        except ConfigError as error:
            raise DataError.of(error.problems) from error

    @cached_property
    def _lines(self) -> list[tuple[int, Any]]:
        numbered = [(n, line) for n, line in enumerate(self.text.split("\n"), start=1) if line.strip()]
        if len(numbered) > MAX_SOURCE_LINES:
            where, accepted = self.at(numbered[MAX_SOURCE_LINES][0]), f"at most {MAX_SOURCE_LINES:,}"
            raise DataError("too many lines", where=where, accepted=accepted)
        return [(number, _json(line, self.path, number)) for number, line in numbered]


def read_foreign(path: Path, columns: Mapping[str, str] | None = None) -> ForeignFile:
    """Read a file as text.

    Raises:
        DataError: The file does not exist, is empty, is too large, or is neither UTF-8, UTF-16
            nor Windows-1252 text; or is a document of an office program, a PDF or a web page.
        RunStateError: The file cannot be read.
    """
    require_regular(path)
    with os_errors(path):
        if not path.is_file():
            what = "this is a folder" if path.is_dir() else "no such file"
            raise DataError(what, where=str(path), accepted="a file, or the folder of the Anthropic files")
        with path.open("rb") as file:
            content = file.read(MAX_SOURCE_BYTES + 1)
    refuse_documents(path, "its text saved as .txt, one principle on each line, or as .md with headings")
    if len(content) > MAX_SOURCE_BYTES:
        raise DataError(
            "the file is too large", where=str(path), accepted=f"at most {MAX_SOURCE_BYTES:,} bytes"
        )
    text = _decoded(content, path).replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise DataError("the file is empty", where=str(path), accepted="a file with principles")
    return ForeignFile(path, text, columns or {})


def _decoded(content: bytes, path: Path) -> str:
    accepted = SAVED_AS_UTF8
    wide = wide_encoding(content)
    if wide is not None:
        try:
            return content.decode(wide)
        except UnicodeDecodeError as error:
            what = f"not {wide.upper()} text: {error.reason}"
            raise DataError(what, where=str(path), accepted=accepted) from error
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        what = "the file is not text: it contains a zero byte"
        raise DataError(what, where=f"{path}:{line}", accepted=accepted)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if is_windows_1252(io.BytesIO(content)):
            note_windows_1252(path)
            return content.decode(WINDOWS_1252)
        line = content.count(b"\n", 0, error.start) + 1
        what = f"the byte 0x{content[error.start]:02x} is not UTF-8"
        raise DataError(what, where=f"{path}:{line}", accepted=accepted) from error


class _DuplicateKeyError(ValueError):
    """A JSON object has a duplicate key. The `json` module would silently drop the first value."""


def _json(text: str, path: Path, first_line: int = 1) -> Any:
    """Return parsed JSON. `first_line` is the line in the file where the text begins, for messages."""
    where, accepted = f"{path}:{first_line}", "JSON"
    try:
        value = json.loads(text, object_pairs_hook=_object)
        if _depth(value) > MAX_SOURCE_DEPTH:
            raise RecursionError
        return value
    except json.JSONDecodeError as error:
        where = f"{path}:{first_line + error.lineno - 1}:{error.colno}"
        what = f"not valid JSON: {error.msg[:1].lower()}{error.msg[1:]}"
    except _DuplicateKeyError as error:
        what, where, accepted = str(error), where if first_line > 1 else str(path), "each key once"
    except RecursionError:
        what, accepted = "the JSON is nested too deeply", f"at most {MAX_SOURCE_DEPTH} levels"
    except ValueError:
        what, accepted = "a number has too many digits", "numbers of a reasonable size"
    raise DataError(what, where=where, accepted=accepted)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _DuplicateKeyError(f"duplicate key {yaml_line(key)}")
        found[key] = value
    return found


def _depth(value: Any) -> int:
    """Return the nesting depth of lists and objects, computed without recursion."""
    depth, level = 0, [value]
    while level and depth <= MAX_SOURCE_DEPTH:
        depth += 1
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [value for values in inner for value in values]
    return depth


def _json_path(loc: Loc) -> str:
    """Return the path of a value, as in `harmful3.prompt[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")
