"""Lines of title above the header of a table, as programs write them into their exports.

A table begins with its header, unless its first rows look like titles and a row below them looks like a
header. Whatever is in doubt is read as a table that begins with its header.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import islice
from typing import NamedTuple

from core.notices import counted, note

_HEADER_WITHIN = 10
"""Rows among which the header is looked for."""
_LOOKED_AT = 30
"""Rows that are looked at in all."""
_LONGEST_NAME = 40
"""Characters of the longest name of a column."""
_NO_NAME = re.compile(r"[\d\s.,:/%+-]*|.*[.?!]", re.DOTALL)
"""A number, a date or a sentence, which a column is not called."""
_USUAL_NAMES = frozenset({"prompt", "text", "question", "instruction", "message", "response", "answer"})
"""Names of columns: a row with one of them is the header, whatever else it looks like."""


class TableStart(NamedTuple):
    """Where a table begins."""

    delimiter: str
    """The separator of its cells."""
    titles: tuple[str, ...] = ()
    """The texts of the rows above the header, which are left out."""


def table_start(text: str, delimiter: str, others: Iterable[str] = (), *, whole: bool = True) -> TableStart:
    """Return where a table begins, and the separator of its cells.

    Args:
        text: the beginning of the table.
        delimiter: the separator by its first line.
        others: separators that it may have if the first line is a title without any.
        whole: False if the text ends within the table.
    """
    rows = _rows(text, delimiter, whole)
    count = title_rows(rows)
    if count:
        return TableStart(delimiter, _texts(rows[:count]))
    if rows and 2 * sum(len(row) == len(rows[0]) > 1 for row in rows[1:]) > len(rows[1:]):
        return TableStart(delimiter)
    for mark in others:
        cells = _rows(text, mark, whole)
        count = title_rows(cells)
        if mark != delimiter and count and len(cells[count]) > 2:
            return TableStart(mark, _texts(cells[:count]))
    return TableStart(delimiter)


def title_rows(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of rows above the header; 0 if the first row is the header, or in doubt.

    The header is the first of the first ten rows whose cells are all filled, distinct and short. All rows
    behind it must have as many cells, and the rows before it be titles: at most half filled, from the left.
    """
    place = next((n for n, row in enumerate(rows[:_HEADER_WITHIN]) if _is_header(row)), 0)
    titles, behind = rows[:place], [row for row in rows[place + 1 :] if any(map(str.strip, row))]
    if not place or not behind or any(len(row) != len(rows[place]) for row in behind):
        return 0
    return place if all(_is_title(row, len(rows[place])) for row in titles) and _says_more(titles) else 0


@cache
def note_titles(where: str, titles: tuple[str, ...]) -> None:
    """Say once for each file which rows above its header are left out."""
    told = [title for title in titles if title]
    if told:
        left_out = ", ".join(repr(title[:60]) for title in told)
        note(f"{where}: {counted(len(told), 'line')} above the header left out: {left_out}")


def _rows(text: str, delimiter: str, whole: bool) -> list[list[str]]:
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = list(islice(reader, _LOOKED_AT + 1))
    except csv.Error:
        return []
    return rows[:_LOOKED_AT] if whole or len(rows) > _LOOKED_AT else rows[:-1]


def _texts(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(" ".join(" ".join(row).split()) for row in rows)


def _is_header(row: Sequence[str]) -> bool:
    names = [cell.strip() for cell in row]
    is_short = all(
        0 < len(name) <= _LONGEST_NAME and "\n" not in name and not _NO_NAME.fullmatch(name) for name in names
    )
    return len(names) > 1 and is_short and len(set(names)) == len(names)


def _is_title(row: Sequence[str], width: int) -> bool:
    """Return True for an empty row, or one that is filled from the left to the half at most."""
    filled = [bool(cell.strip()) for cell in row]
    count = sum(filled)
    named = any(cell.strip().casefold() in _USUAL_NAMES for cell in row)
    return not named and len(row) <= width and 2 * count <= width and all(filled[:count])


def _says_more(titles: Sequence[Sequence[str]]) -> bool:
    """Return True if titles are empty or say more than one word: one word may be the name of a column."""
    texts = [text for text in _texts(titles) if text]
    return not texts or any(len(text.split()) > 1 for text in texts)
