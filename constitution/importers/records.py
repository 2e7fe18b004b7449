"""Lists of principles: JSON, JSON Lines and YAML with sentences or objects, and tables."""

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
"""What others call our keys, the likeliest first."""
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
        """Return why a file is such a list."""
        return "it is JSON or YAML" if file.structured else None

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Gather the entries of the list."""
        value, loc = _inner_list(file.value, reading)
        if isinstance(value, dict) and any(isinstance(value.get(key), str) for key in _ALONE):
            value = [value]  # one principle by itself
        if not isinstance(value, list | dict):
            reading.refuse(
                f"the file is {yaml_line(value)}", file.where(), "a list, or an object that holds one"
            )
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
        """Return why a file is a table."""
        return f"its name ends in {file.suffix}" if file.suffix in (".csv", ".tsv") else None

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Gather the rows below the header; a table of one column needs none."""
        rows = list(file.table(_delimiter(file)))
        header = [cell.strip() for cell in rows[0].values] if rows else []
        keys = _Keys(file.columns, header)
        if any(key in keys.of(header) for key in _REQUESTS):
            _rows(header, rows[1:], keys, file, reading)
        elif len(header) > 1:
            what = f"no column of principles among {', '.join(map(yaml_line, header[:12]))}"
            accepted = f"a column called {', '.join(_REQUESTS)}, or {_COLUMNS}"
            reading.refuse(what, file.at(rows[0].line), accepted)
        else:
            for row in rows:
                reading.take(file.at(row.line), {"text": row.values[0]})


def _rows(header: list[str], rows: list[Cells], keys: _Keys, file: ForeignFile, reading: Reading) -> None:
    for name in (name for name, times in Counter(header).items() if times > 1):
        reading.refuse(f"the column {yaml_line(name)} twice", file.at(1), "each column once")
    for line, cells in rows:
        if len(cells) != len(header):
            what = f"{len(cells)} cells, and the header has {len(header)}"
            reading.refuse(what, file.at(line), "as many cells; quotes around one with the separator in it")
        else:
            _take(dict(zip(header, cells, strict=True)), None, file.at(line), keys, reading)


class _Keys:
    """Which of an entry's keys are which of ours."""

    def __init__(self, given: Mapping[str, str], names: Iterable[object]) -> None:
        known = dict.fromkeys(map(str, names))
        for ours, theirs in given.items():
            if ours not in ALIASES:
                raise ConfigError(f"no key {ours!r}", where="--columns", accepted=one_of(ALIASES, ours))
            if theirs not in known:
                what = f"no column {theirs!r}"
                raise ConfigError(what, where="--columns", accepted=one_of(known or ["none"], theirs))
        self._given = given

    def of(self, names: Iterable[str]) -> dict[str, str]:
        """Return, of those of our keys that are there, what they are called."""
        free = {name.strip().casefold().replace(" ", "_"): name for name in names}
        found = {ours: theirs for ours, theirs in self._given.items() if theirs in free.values()}
        for ours, aliases in ALIASES.items():
            left = (free[alias] for alias in aliases if alias in free)
            name = next((name for name in left if name not in found.values()), None)
            if name is not None and ours not in self._given:
                found[ours] = name
        return found


def _inner_list(value: Any, reading: Reading) -> tuple[Any, tuple[str, ...]]:
    """Return the list that an object holds under a telling key, and the key; else the value itself."""
    keys = _LISTS if isinstance(value, dict) else ()
    key = next((key for key in keys if isinstance(value.get(key), list | dict)), None)
    if key is None:
        return value, ()
    if value.get("name") is not None:
        reading.name = reading.text_at(value["name"], "name", reading.source)
    reading.pass_over([other for other in value if other not in (key, "name")])
    return value[key], (key,)


def _take(entry: object, name: str | None, where: str, keys: _Keys, reading: Reading) -> None:
    if isinstance(entry, str):
        reading.take(where, {"text": entry}, name=name)
        return
    if not isinstance(entry, Mapping):
        reading.refuse(f"an entry is {yaml_line(entry)}", where, _ACCEPTED)
        return
    theirs = keys.of(entry)
    reading.pass_over([name for name in entry if name not in theirs.values()])
    fields = {ours: entry[name] for ours, name in theirs.items()}
    given = fields.pop("id", None)
    if not any(key in fields for key in _REQUESTS):
        found = ", ".join(map(yaml_line, list(entry)[:12])) or "nothing"
        reading.refuse(f"an entry has no text, but {found}", where, _ACCEPTED)
        return
    reading.take(where, fields, name=given if given not in (None, "") else name)


def _delimiter(file: ForeignFile) -> str:
    """Return what separates the cells: the sign that the first line has most of."""
    if file.suffix == ".tsv":
        return "\t"
    first = file.text.lstrip().partition("\n")[0]
    return max(",;\t", key=first.count)
