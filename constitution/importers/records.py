"""Lists of principles: JSON, JSON Lines and YAML with sentences or objects, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from constitution.importers.reading import Reading
from constitution.importers.source import ForeignFile
from core.errors import ConfigError
from core.explain import one_of, shown

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
_LISTS = ("principles", "constitution", "constitutions", "rules")
_ACCEPTED = "a sentence, or an object with one of: " + ", ".join(
    dict.fromkeys(alias for key in _REQUESTS for alias in ALIASES[key])
)
_COLUMNS = "--columns text=THEIRS"


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
        if not isinstance(value, list | dict):
            reading.refuse(f"the file is {shown(value)}", file.where(), "a list, or an object that holds one")
            return
        entries = list(value.items() if isinstance(value, dict) else enumerate(value))
        keys = _Keys(file, [entry for _, entry in entries if isinstance(entry, Mapping)])
        for at, entry in entries:
            name = at if isinstance(at, str) else None
            _take(entry, name, file.where(*loc, at), keys, reading)
        reading.pass_over(keys.unused)


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
        header = [cell.strip() for cell in rows[0].values]
        keys = _Keys(file, [dict.fromkeys(header)])
        if not keys.says_something:
            if len(header) > 1:
                what = f"no column of principles among {', '.join(map(shown, header[:12]))}"
                reading.refuse(
                    what, file.at(rows[0].line), f"{_COLUMNS}, or a column called {_ACCEPTED[33:]}"
                )
                return
            for row in rows:
                reading.take(file.at(row.line), {"text": row.values[0]})
            return
        for line, cells in rows[1:]:
            if len(cells) != len(header):
                what = f"{len(cells)} cells, and the header has {len(header)}"
                reading.refuse(
                    what, file.at(line), "as many cells; quotes around one with the separator in it"
                )
            else:
                _take(dict(zip(header, cells, strict=True)), None, file.at(line), keys, reading)
        reading.pass_over(keys.unused)


class _Keys:
    """Which of a file's keys are which of ours."""

    def __init__(self, file: ForeignFile, entries: Iterable[Mapping[str, Any]]) -> None:
        names = list(dict.fromkeys(str(name) for entry in entries for name in entry))
        self.theirs: dict[str, str] = {}
        for ours, theirs in file.columns.items():
            if ours not in ALIASES:
                raise ConfigError(f"no key {ours!r}", where="--columns", accepted=one_of(ALIASES, ours))
            if theirs not in names:
                what = f"no column {theirs!r}"
                raise ConfigError(what, where="--columns", accepted=one_of(names or ["none"], theirs))
            self.theirs[ours] = theirs
        free = {name.strip().casefold().replace(" ", "_"): name for name in names}
        for ours, aliases in ALIASES.items():
            left = [free[alias] for alias in aliases if alias in free]
            left = [name for name in left if name not in self.theirs.values()]
            if ours not in self.theirs and left:
                self.theirs[ours] = left[0]
        self.unused = [name for name in names if name not in self.theirs.values()]

    @property
    def says_something(self) -> bool:
        """Whether one of the keys holds principles."""
        return any(key in self.theirs for key in _REQUESTS)


def _inner_list(value: Any, reading: Reading) -> tuple[Any, tuple[str, ...]]:
    """Return the list that an object holds under a telling key, and the key; else the value itself."""
    keys = _LISTS if isinstance(value, dict) else ()
    key = next((key for key in keys if isinstance(value.get(key), list | dict)), None)
    if key is None:
        return value, ()
    if isinstance(value.get("name"), str):
        reading.name = value["name"].strip() or None
    reading.pass_over([other for other in value if other not in (key, "name")])
    return value[key], (key,)


def _take(entry: object, name: str | None, where: str, keys: _Keys, reading: Reading) -> None:
    if isinstance(entry, str):
        reading.take(where, {"text": entry}, name=name)
        return
    if not isinstance(entry, Mapping):
        reading.refuse(f"an entry is {shown(entry)}", where, _ACCEPTED)
        return
    fields = {ours: entry[theirs] for ours, theirs in keys.theirs.items() if theirs in entry}
    given = fields.pop("id", None)
    if not any(key in fields for key in _REQUESTS):
        found = ", ".join(map(shown, list(entry)[:12])) or "nothing"
        reading.refuse(f"an entry has no text, but {found}", where, f"{_COLUMNS}, or {_ACCEPTED}")
        return
    reading.take(where, fields, name=given if given not in (None, "") else name)


def _delimiter(file: ForeignFile) -> str:
    """Return what separates the cells: the sign that the first line has most of."""
    if file.suffix == ".tsv":
        return "\t"
    first = file.text.lstrip().partition("\n")[0]
    return max(",;\t", key=first.count)
