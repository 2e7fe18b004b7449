"""Importers for lists of principles (JSON, JSON Lines, YAML) and for tables."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from constitution.importers.reading import Reading
from constitution.importers.source import Cells, ForeignFile
from core.errors import ConfigError
from core.text.explain import one_of, yaml_line

ALIASES: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "principle", "constitution", "rule", "statement", "definition", "description"),
    "id": ("id", "name", "title", "key"),
    "section": ("section", "category", "group", "dimension"),
    "antithesis": ("antithesis", "negative_definition"),
    "critique": ("critique", "critique_request", "critic"),
    "revision": ("revision", "revision_request", "edit_request"),
    "comparison": ("comparison", "comparison_request", "preference"),
}
"""Common names of our keys in other formats, the most likely first."""
_REQUESTS = ("text", "critique", "revision", "comparison")
_ALONE = ("principle", *_REQUESTS)
_LISTS = ("principles", "constitution", "constitutions", "rules")
_COLUMNS = "--columns text=THEIRS"
_ACCEPTED = f"a sentence, an object with one of {', '.join(_REQUESTS)}, or {_COLUMNS}"


class JsonList:
    """A list of sentences or objects, in JSON, JSON Lines or YAML."""

    name = "json"
    summary = "a list of sentences or of objects, in JSON, JSON Lines or YAML"
    takes_columns = True

    def recognises(self, file: ForeignFile) -> str | None:
        """Return the reason why a file is JSON or YAML; None if it is neither."""
        return "it is JSON or YAML" if file.structured else None

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Add the entries of the list to `reading`."""
        value, loc = _inner_list(file.value, reading)
        if isinstance(value, dict) and any(isinstance(value.get(key), str) for key in _ALONE):
            value = [value]  # the object is a single principle
        if not isinstance(value, list | dict):
            accepted = "a list, or an object that contains one"
            reading.refuse(f"the file is {yaml_line(value)}", file.where(), accepted)
            return
        entries = list(value.items() if isinstance(value, dict) else enumerate(value))
        names = itertools.chain.from_iterable(entry for _, entry in entries if isinstance(entry, Mapping))
        keys = _Keys(file.columns, names)
        for at, entry in entries:
            name = at if isinstance(at, str) else None
            _take(entry, name, file.where(*loc, at), keys, reading)


class Table:
    """A table with a column of principles."""

    name = "csv"
    summary = "a table with a column of principles, separated by comma, semicolon or tab"
    takes_columns = True

    def recognises(self, file: ForeignFile) -> str | None:
        """Return the reason why a file is a table; None if it is not."""
        return f"its name ends in {file.suffix}" if file.suffix in (".csv", ".tsv") else None

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Add the rows below the header to `reading`. A table with one column needs no header."""
        rows = list(file.table(_delimiter(file)))
        header = [cell.strip() for cell in rows[0].values] if rows else []
        keys = _Keys(file.columns, header)
        if any(key in keys.of(header) for key in _REQUESTS):
            _rows(header, rows[1:], keys, file, reading)
        elif len(header) > 1:
            what = f"no column with principles among {', '.join(map(yaml_line, header[:12]))}"
            accepted = f"a column with the name {', '.join(_REQUESTS)}, or {_COLUMNS}"
            reading.refuse(what, file.at(rows[0].line), accepted)
        else:
            for row in rows:
                reading.take(file.at(row.line), {"text": row.values[0]})


def _rows(header: list[str], rows: list[Cells], keys: _Keys, file: ForeignFile, reading: Reading) -> None:
    for name in (name for name, times in Counter(header).items() if times > 1):
        reading.refuse(f"duplicate column {yaml_line(name)}", file.at(1), "each column once")
    for line, cells in rows:
        if len(cells) != len(header):
            what = f"the row has {len(cells)} cells, but the header has {len(header)}"
            accepted = "as many cells as in the header; quotes around a cell that contains the separator"
            reading.refuse(what, file.at(line), accepted)
        else:
            _take(dict(zip(header, cells, strict=True)), None, file.at(line), keys, reading)


class _Keys:
    """Mapping of our keys to the keys of an entry."""

    def __init__(self, given: Mapping[str, str], names: Iterable[object]) -> None:
        known = dict.fromkeys(map(str, names))
        for ours, theirs in given.items():
            if ours not in ALIASES:
                raise ConfigError(f"unknown key {ours!r}", where="--columns", accepted=one_of(ALIASES, ours))
            if theirs not in known:
                what = f"unknown column {theirs!r}"
                raise ConfigError(what, where="--columns", accepted=one_of(known or ["none"], theirs))
        self._given = given

    def of(self, names: Iterable[str]) -> dict[str, str]:
        """Return the entry's name for each of our keys that is present."""
        free = {name.strip().casefold().replace(" ", "_"): name for name in names}
        found = {ours: theirs for ours, theirs in self._given.items() if theirs in free.values()}
        for ours, aliases in ALIASES.items():
            left = (free[alias] for alias in aliases if alias in free)
            name = next((name for name in left if name not in found.values()), None)
            if name is not None and ours not in self._given:
                found[ours] = name
        return found


def _inner_list(value: Any, reading: Reading) -> tuple[Any, tuple[str, ...]]:
    """Return the list under a known key of an object, and that key; else the value itself."""
    keys = _LISTS if isinstance(value, dict) else ()
    key = next((key for key in keys if isinstance(value.get(key), list | dict)), None)
    if key is None:
        return value, ()
    if value.get("name") is not None:
        reading.name = reading.text_at(value["name"], "name", reading.source)
    reading.ignore([other for other in value if other not in (key, "name")])
    return value[key], (key,)


def _take(entry: object, name: str | None, where: str, keys: _Keys, reading: Reading) -> None:
    if isinstance(entry, str):
        reading.take(where, {"text": entry}, name=name)
        return
    if not isinstance(entry, Mapping):
        reading.refuse(f"an entry is {yaml_line(entry)}", where, _ACCEPTED)
        return
    theirs = keys.of(entry)
    reading.ignore([name for name in entry if name not in theirs.values()])
    fields = {ours: entry[name] for ours, name in theirs.items()}
    given = fields.pop("id", None)
    if not any(key in fields for key in _REQUESTS):
        found = ", ".join(map(yaml_line, list(entry)[:12])) or "none"
        reading.refuse(f"an entry has no text (its keys: {found})", where, _ACCEPTED)
        return
    reading.take(where, fields, name=given if given not in (None, "") else name)


def _delimiter(file: ForeignFile) -> str:
    """Return the delimiter of the cells: the candidate that is most frequent in the first line."""
    if file.suffix == ".tsv":
        return "\t"
    first = file.text.lstrip().partition("\n")[0]
    return max(",;\t", key=first.count)
