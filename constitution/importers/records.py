"""The keys of an entry, and the importer for tables."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from pydantic import TypeAdapter, ValidationError

from constitution.checks.kinds import Check
from constitution.importers.reading import Reading
from constitution.importers.source import Cells, ForeignFile
from constitution.schema import Scope
from core.errors import ConfigError
from core.notices import counted
from core.store.title_lines import note_titles, table_start, title_rows
from core.text.explain import one_of, yaml_line
from core.text.literals import float_of

ALIASES: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "principle", "constitution", "rule", "statement", "definition", "description"),
    "id": ("id", "name", "title", "key"),
    "section": ("section", "category", "group", "dimension"),
    "antithesis": ("antithesis", "negative_definition"),
    "critique": ("critique", "critique_request", "critic"),
    "revision": ("revision", "revision_request", "edit_request"),
    "comparison": ("comparison", "comparison_request", "preference"),
    "reason": ("reason", "why", "rationale", "explanation", "because"),
    "weight": ("weight",),
    "hard": ("hard",),
    "applies_to": ("applies_to",),
    "check": ("check",),
}
"""Common names of our keys in other formats, the most likely first."""
_REQUESTS = ("text", "critique", "revision", "comparison")
_WANTED: Mapping[str, str] = {
    "weight": "a number of 0 or more",
    "hard": "true or false",
    "applies_to": "tags, as a list, or separated by commas or semicolons; or a mapping with tags or pattern",
    "check": "a mapping such as {kind: max_words, value: 60}",
}
"""What our keys take that hold no text. Where nobody mapped them, a value that does not fit is ignored."""
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}
_COLUMNS = "--columns text=THEIRS"
_ACCEPTED = f"a sentence, an object with one of {', '.join(_REQUESTS)}, or {_COLUMNS}"


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
        start = table_start(file.text.lstrip(), _delimiter(file), ",;\t")
        rows = list(file.table(start.delimiter))
        titles = title_rows([row.values for row in rows])
        if titles:
            note_titles(str(file.path), start.titles)
            rows = rows[titles:]
        header = [cell.strip() for cell in rows[0].values] if rows else []
        keys = ColumnKeys(file.columns, header)
        if keys.has_text(header):
            _rows(header, rows[1:], keys, file, reading)
        elif len(header) > 1:
            what = f"no column with principles among {', '.join(map(yaml_line, header[:12]))}"
            accepted = f"a column with the name {', '.join(_REQUESTS)}, or {_COLUMNS}"
            reading.refuse(what, file.at(rows[0].line), accepted)
        else:
            for row in rows:
                reading.take(file.at(row.line), {"text": row.values[0]})


def _rows(
    header: list[str], rows: list[Cells], keys: ColumnKeys, file: ForeignFile, reading: Reading
) -> None:
    for name in (name for name, times in Counter(header).items() if times > 1):
        reading.refuse(f"duplicate column {yaml_line(name)}", file.at(1), "each column once")
    for line, cells in rows:
        if len(cells) != len(header):
            what = f"the row has {counted(len(cells), 'cell')}, but the header has {len(header)}"
            accepted = "as many cells as in the header; quotes around a cell that contains the separator"
            reading.refuse(what, file.at(line), accepted)
        else:
            take_entry(dict(zip(header, cells, strict=True)), None, file.at(line), keys, reading)


class ColumnKeys:
    """Mapping of our keys to the keys of an entry."""

    TEXTS = _REQUESTS
    """Keys of which an entry needs at least one."""

    def __init__(self, given: Mapping[str, str], names: Iterable[object]) -> None:
        known = dict.fromkeys(map(str, names))
        for ours, theirs in given.items():
            if ours not in ALIASES:
                raise ConfigError(f"unknown key {ours!r}", where="--columns", accepted=one_of(ALIASES, ours))
            if theirs not in known:
                what = f"unknown column {theirs!r}"
                raise ConfigError(what, where="--columns", accepted=one_of(known or ["none"], theirs))
        self._given = given

    def is_given(self, ours: str) -> bool:
        """Return whether the user mapped a key of ours."""
        return ours in self._given

    def has_text(self, names: Iterable[str]) -> bool:
        """Return True if one of the names holds a principle's text or one of its requests."""
        return not self.of(names).keys().isdisjoint(self.TEXTS)

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


def take_entry(
    entry: object,
    name: str | None,
    where: str,
    keys: ColumnKeys,
    reading: Reading,
    defaults: Mapping[str, str] | None = None,
) -> None:
    """Add a principle given as a sentence, or as a mapping of columns or keys.

    Args:
        entry: the sentence or the mapping.
        name: the principle's name, if the mapping has none.
        where: its position in the file.
        keys: our keys and the file's.
        reading: the import to add it to.
        defaults: texts by our key, for keys that the mapping lacks or leaves empty.
    """
    if isinstance(entry, str):
        reading.take(where, {"text": entry, **(defaults or {})}, name=name)
        return
    if not isinstance(entry, Mapping):
        reading.refuse(f"an entry is {yaml_line(entry)}", where, _ACCEPTED)
        return
    theirs = keys.of(entry)
    settings = _settings(entry, theirs, where, keys, reading)
    read = {name for ours, name in theirs.items() if ours not in _WANTED or ours in settings}
    blank = {name for ours, name in theirs.items() if ours in _WANTED and entry[name] in (None, "")}
    reading.ignore({name: entry[name] for name in entry if name not in read | blank})
    fields = {ours: entry[name] for ours, name in theirs.items() if ours not in _WANTED}
    given = fields.pop("id", None)
    if not any(key in fields for key in _REQUESTS):
        found = ", ".join(map(yaml_line, list(entry)[:12])) or "none"
        reading.refuse(f"an entry has no text (its keys: {found})", where, _ACCEPTED)
        return
    for key, text in (defaults or {}).items():
        fields[key] = fields.get(key) or text
    reading.take(where, fields, name=given if given not in (None, "") else name, settings=settings)


def _settings(
    entry: Mapping[str, object], theirs: Mapping[str, str], where: str, keys: ColumnKeys, reading: Reading
) -> dict[str, object]:
    """Return the values of an entry that are no texts and fit; mapped ones that do not are mistakes."""
    found: dict[str, object] = {}
    for ours, accepted in _WANTED.items():
        value = entry[theirs[ours]] if ours in theirs else None
        if value in (None, ""):
            continue
        read = _setting(ours, value, mapped=keys.is_given(ours))
        if read is not None:
            found[ours] = read
        elif keys.is_given(ours):
            reading.refuse(f"{ours} is {yaml_line(value)}", where, accepted)
    return found


def _setting(key: str, value: object, *, mapped: bool) -> object:
    """Return a weight, `hard`, a scope or a check as a constitution has it; None if the value is none."""
    text = value.strip() if isinstance(value, str) else None
    if key == "hard":
        return value if isinstance(value, bool) else _TRUTHS.get((text or "").casefold())
    if key == "weight":
        try:
            number = value if text is None else float_of(text)
        except ValueError:
            return None
        number = int(number) if isinstance(number, float) and number.is_integer() else number
        fits = isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number < math.inf
        return number if fits else None
    if key == "applies_to":
        if text is not None and mapped:
            value = [tag.strip() for tag in re.split("[,;]", text) if tag.strip()]
        value = {"tags": value} if isinstance(value, list) else value
    kind: TypeAdapter[object] = TypeAdapter(Scope if key == "applies_to" else Check)
    try:
        kind.validate_python(value)
    except ValidationError:
        return None
    return value if isinstance(value, Mapping) else None


def _delimiter(file: ForeignFile) -> str:
    """Return the delimiter of the cells: the candidate that is most frequent in the first line."""
    if file.suffix == ".tsv":
        return "\t"
    first = file.text.lstrip().partition("\n")[0]
    return max(",;\t", key=first.count)
