"""Columns that are empty in every row, as tables with an unused column have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from labelers.formats.fields import is_blank
from labelers.formats.source import Row
from publius.sources.rows import SourceRow

_AnyRow = TypeVar("_AnyRow", Row, SourceRow)


def without_empty_column(
    rows: Iterable[_AnyRow], name: str, again: Callable[[], Iterable[_AnyRow]]
) -> Iterator[_AnyRow]:
    """Yield the rows, without a column if it is empty in all of them.

    An empty cell beside filled ones has another meaning than a column that nobody filled. If the first rows
    are empty, the data is therefore read a second time, up to the first cell that is not.

    Args:
        rows: the rows.
        name: the column.
        again: reads the same rows once more.
    """
    filled: bool | None = None
    for row in rows:
        if isinstance(row.values, Mapping) and name in row.values:
            if not is_blank(row.values[name]):
                filled = True
            elif filled is None:
                filled = any(
                    isinstance(other.values, Mapping) and not is_blank(other.values.get(name))
                    for other in again()
                )
            if not filled:
                values = {key: value for key, value in row.values.items() if key != name}
                row = replace(row, values=values)
        yield row
