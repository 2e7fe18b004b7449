"""The rows of a file of labels, one at a time, each with its number. A broken line is a row with a problem.

JSON and tables are read by `core/store/containers.py`, since a single broken line must not end an import.
Parquet, folders and the Hugging Face hub go through `datasets`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from core.errors import DataError
from core.store.containers import FileRow, file_rows, is_read_here, kind_of
from core.store.files import os_errors
from core.store.jsonl import Unreadable
from labelers.formats.source import Row
from labelers.formats.tools.icai import unfolded
from prompts.conditions import PROMPTS_WHERE, Conditions, ConditionSurvey, condition_columns, unmet_condition
from publius.sources.column_names import at_paths
from publius.sources.rows import DataSource, read_rows

ACCEPTED = (
    "a .jsonl, .json, .yaml, .csv, .tsv (each also .gz) or .parquet file, a data set folder, "
    "or a Hugging Face id"
)


def label_rows(source: DataSource) -> Iterator[Row]:
    """Yield the rows of a file or data set, in order.

    Raises:
        DataError: if the file does not exist, or cannot be read at all.
        MissingExtraError: if the package datasets is needed and not installed.
    """
    path = source.path
    with os_errors(path):
        is_file = path.is_file()
    if not is_file or not is_read_here(path):
        found = enumerate(read_rows(source), start=1)
        yield from (Row(number, row.values) for number, row in found)
        return
    if source.subset is not None or source.split not in (None, "train"):
        what = f"a file has no subsets or splits, but {source.subset or source.split!r} was requested"
        raise DataError(what, where=str(path), accepted="a file without --subset and --split")
    rows = file_rows(path, ACCEPTED)
    yield from map(_row, _unfolded(rows) if kind_of(path) == ".json" else rows)


class RowsMeeting:
    """The rows that meet conditions; the others wait in `left`, each with the reason.

    Args:
        conditions: what columns of a row must have.
        setting: where the user gave them.
    """

    def __init__(self, conditions: Conditions, setting: str = PROMPTS_WHERE) -> None:
        self.conditions, self.setting = conditions, setting
        self.left: deque[tuple[Row, str]] = deque()
        self.survey = ConditionSurvey(conditions, setting)
        self._columns: dict[str, None] = {}

    def of(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows that meet the conditions, from the first row on."""
        self.left.clear()
        self.survey = ConditionSurvey(self.conditions, self.setting)
        if not self.conditions:
            yield from rows
            return
        names = condition_columns(self.conditions)
        for row in rows:
            values = row.values if isinstance(row.values, Mapping) else {}
            cells = at_paths(values, names)
            unmet = unmet_condition(cells, self.conditions, self.setting) if values else None
            if values:
                self.survey.add(cells)
                self._columns |= dict.fromkeys(map(str, values))
            if unmet is None:
                yield row
            else:
                self.left.append((row, unmet))

    def check(self) -> None:
        """Raise ConfigError if no row has one of the columns, or none meets the conditions."""
        self.survey.check(list(self._columns))


def _unfolded(rows: Iterator[FileRow]) -> Iterator[FileRow]:
    """Yield the rows, with the comparisons in place of a document of annotated pairs."""
    number = 0
    for row in rows:
        inner = unfolded(row.value) if isinstance(row.value, Mapping) else None
        values: Iterator[Any] = iter([row.value]) if inner is None else inner
        for value in values:
            number += 1
            yield FileRow(row.number if row.is_line else number, row.is_line, value)


def _row(row: FileRow) -> Row:
    value = row.value
    return Row(row.number, None, _problem(value)) if isinstance(value, Unreadable) else Row(row.number, value)


def _problem(found: Unreadable) -> str:
    """Return the problem of a row, as it is stored in the exclusions of an import."""
    if found.byte is not None:
        return f"{found.what} at byte {found.byte}"
    return found.what if found.column is None else f"{found.what} (column {found.column})"
