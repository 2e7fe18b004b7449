"""The columns of a table of labels by other names than ours: who judged, and what can be imported."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from labelers.formats.source import LabelSource, Row
from publius.sources.column_names import ColumnNames
from publius.sources.unusable import suggested_columns, suggested_judged_columns

OURS = "annotator"
_OTHER_NAMES = (
    *("rater", "grader", "judge", "reviewer", "labeler", "labeller", "coder"),
    *("who", "worker", "worker_id", "user", "user_id"),
)
"""Names that people give the column, the surest first."""
_TARGETS = ("prompt", "response_a", "response_b", "verdict")
"""Our columns that any table of labels can be mapped to."""
_SIDES = ("prompt", "chosen", "rejected")
_NOT_PEOPLE = (
    "origin",
    "model",
    "source",
    "split",
    "tag",
    "lang",
    "categor",
    "type",
    "kind",
    "domain",
    "topic",
)
"""Beginnings of the names of columns that repeat few texts and never name who judged."""
_LONGEST_NAME, _MOST_WORDS = 40, 3
_REPEATED, _PEOPLE = 2, 6
"""Rows for each name from which on, and names up to which, a column of texts may name people."""


def with_annotators(
    names: ColumnNames, source: LabelSource, first: Sequence[Row], key: str | None
) -> ColumnNames:
    """Return the user's names with the column that names who judged, if it has another name than `annotator`.

    Args:
        names: the user's names.
        source: the source that reads the table.
        first: the first rows, before names are applied.
        key: the column of keys, if votes are joined with pairs.
    """
    columns = _columns(first)
    if source.columns is None or OURS not in source.columns or OURS in (*columns, *names.columns):
        return names
    taken = {*source.columns, *names.read, *([key] if key else [])}
    by_name = _folded(name for name in columns if name not in taken)
    theirs = next((by_name[name] for name in map(_plain, _OTHER_NAMES) if name in by_name), None)
    if theirs is None:
        return names
    return replace(names, columns={**names.columns, OURS: theirs})


def columns_to_import(first: Sequence[Row]) -> str:
    """Return `; or --columns ...` by which a table of pairs can be imported as labels; empty if unknown.

    That is a table of answers with a verdict, of a better and a worse answer, or of answers with ratings.
    """
    row = next((row.values for row in first if isinstance(row.values, Mapping)), {})
    by_name = suggested_columns(row, _TARGETS) or suggested_columns(row, _SIDES)
    return by_name or suggested_judged_columns([row.values for row in first], _likely_annotators(first))


def _likely_annotators(first: Sequence[Row]) -> list[str]:
    """Return the columns that may name who judged, by name or else by their cells, the likeliest first."""
    columns = _columns(first)
    by_name = _folded(columns)
    named = [by_name[name] for name in map(_plain, _OTHER_NAMES) if name in by_name]
    return named or columns_of_names(first, columns)


def columns_of_names(first: Sequence[Row], columns: Collection[str]) -> list[str]:
    """Return the columns whose cells repeat few short texts, as names of people do.

    Args:
        first: the first rows.
        columns: the columns that nothing reads.
    """
    asked = (name for name in _columns(first) if name in columns)
    return [n for n in asked if not n.strip().lower().startswith(_NOT_PEOPLE) and _repeats_names(n, first)]


def _folded(columns: Iterable[str]) -> dict[str, str]:
    return {_plain(name): name for name in columns}


def _plain(name: str) -> str:
    """Return a name by which `worker_id`, `Worker ID` and `WorkerId` are one."""
    return "".join(name.lower().replace("_", " ").split())


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(str(name) for row in rows for name in _values(row)))


def _values(row: Row) -> Mapping[str, Any]:
    return row.values if isinstance(row.values, Mapping) else {}


def _repeats_names(column: str, rows: Sequence[Row]) -> bool:
    cells = [cell for row in rows if (cell := _values(row).get(column)) not in (None, "")]
    if not all(isinstance(cell, str) and _is_name(cell) for cell in cells):
        return False
    different = len({cell.strip().lower() for cell in cells})
    return 1 < different <= _PEOPLE and len(cells) >= _REPEATED * different


def _is_name(cell: str) -> bool:
    words = cell.split()
    return len(cell) <= _LONGEST_NAME and 0 < len(words) <= _MOST_WORDS and any(map(str.isalpha, cell))
