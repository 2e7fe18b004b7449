"""Measurements in a form that the report has no place for: any JSON file of an evaluation, as tables.

Evaluations grow. What a newer stage or another tool writes into `eval/` is shown under its own names instead
of being left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.store.files import is_there
from publius.views.report.figures import Figure, FigureBook

MAX_ROWS = 200
"""Maximum number of rows of a table; the file has all of them."""
_MAX_DEPTH = 4
CellValue = Figure | str


@dataclass(frozen=True)
class ExtraTable:
    """A table of values under the names that the file has for them."""

    title: str
    columns: tuple[str, ...]
    """Headings; empty for a table of names and values."""
    rows: tuple[tuple[CellValue, ...], ...]
    omitted: int = 0
    """Number of rows that are not shown."""


def extra_tables(
    folder: Path, content: Mapping[str, Any], prefix: str, book: FigureBook, skip: frozenset[str]
) -> tuple[ExtraTable, ...]:
    """Return tables of everything in an evaluation's files that the report does not show elsewhere.

    Args:
        folder: folder of the evaluation; its JSON files are read, `metrics.json` excepted.
        content: the content of `metrics.json`.
        prefix: how the names of the figures begin.
        book: takes the figures.
        skip: keys of `metrics.json` that the report shows elsewhere.
    """
    found = [*_tables({key: value for key, value in content.items() if key not in skip}, "", prefix, book)]
    for path in sorted(folder.glob("*.json")) if is_there(folder) else ():
        if path.name != "metrics.json":
            found += _tables(_read(path), path.name, f"{prefix}.{path.stem}", book)
    return tuple(found)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty if the file is missing or damaged."""
    content = _read(path)
    return content if isinstance(content, dict) else {}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _tables(value: Any, title: str, prefix: str, book: FigureBook, depth: int = 0) -> Iterator[ExtraTable]:
    if isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
        yield _records(value, title, prefix, book)
    elif isinstance(value, Mapping) and depth < _MAX_DEPTH:
        plain = {key: entry for key, entry in value.items() if _is_plain(entry)}
        if plain:
            rows = [(str(k), _value(v, f"{prefix}.{k}", book)) for k, v in plain.items()]
            yield _limited(title, (), rows)
        for key, entry in value.items():
            if key not in plain:
                yield from _tables(
                    entry, f"{title}: {key}" if title else str(key), f"{prefix}.{key}", book, depth + 1
                )
    elif value not in (None, "", [], {}):
        yield ExtraTable(title, (), ((title or "value", _text(value)),))


def _records(entries: list[Any], title: str, prefix: str, book: FigureBook) -> ExtraTable:
    """Return a table with a column for each key of the entries."""
    columns = list(dict.fromkeys(key for entry in entries for key in entry))
    rows = []
    for number, entry in enumerate(entries[:MAX_ROWS]):
        name = f"{prefix}.{_name_of(entry, number)}"
        rows.append(tuple(_value(entry.get(key), f"{name}.{key}", book) for key in columns))
    return ExtraTable(title, tuple(map(str, columns)), tuple(rows), max(0, len(entries) - MAX_ROWS))


def _limited(title: str, columns: tuple[str, ...], rows: Sequence[tuple[CellValue, ...]]) -> ExtraTable:
    return ExtraTable(title, columns, tuple(rows[:MAX_ROWS]), max(0, len(rows) - MAX_ROWS))


def _is_plain(value: Any) -> bool:
    return not isinstance(value, Mapping | list) or _is_interval(value)


def _is_interval(value: Any) -> bool:
    """Return True for a number with its interval, as records of metrics have it."""
    return isinstance(value, Mapping) and _is_number(value.get("value")) and _is_number(value.get("low", 0.0))


def _value(value: Any, name: str, book: FigureBook) -> CellValue:
    if _is_interval(value):
        unit, n = str(value.get("unit") or ""), value.get("n")
        return book.add(
            Figure(
                name,
                value["value"],
                unit,
                n if isinstance(n, int) else None,
                value.get("low"),
                value.get("high"),
            )
        )
    if _is_number(value):
        return book.add(Figure(name, value))
    return _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name_of(entry: Mapping[str, Any], number: int) -> str:
    """Return the name of an entry of a list; its place if it has no name of its own."""
    named = next((entry[key] for key in ("name", "id") if isinstance(entry.get(key), str)), None)
    return f"{number}.{named}" if named else str(number)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
