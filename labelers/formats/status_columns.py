"""Columns that say whether a row counts, such as a status with `Rejected` in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from labelers.formats.fields import is_missing

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
"""The words of a name, as in `AssignmentStatus` or `is_valid`."""
_STATES = frozenset({"status", "state"})
_GOOD = frozenset({"approve", "approved", "accept", "accepted", "valid", "passed"})
_BAD = frozenset(
    {"reject", "rejected", "rejection", "invalid", "spam", "discard", "discarded", "excluded", "deleted"}
)
_UNWANTED = frozenset(
    {
        *("rejected", "reject", "declined", "denied", "disapproved", "invalid", "spam", "discarded"),
        *("deleted", "excluded", "cancelled", "canceled", "failed", "expired", "returned", "timed-out"),
        *("timed out", "draft", "flagged"),
    }
)
"""What a status says of a row that should not count."""
_YES, _NO = frozenset({"true", "yes", "y", "x", "1"}), frozenset({"false", "no", "n", "0"})
_MOST_VALUES = 20
"""Different values up to which a column may be a status."""


class UnwantedRows(NamedTuple):
    """Rows that a column says should not count."""

    column: str
    value: str
    """What the column has there, as it is written."""
    rows: int


def names_status(column: str) -> bool:
    """Return whether a column's name says that its values tell whether a row counts."""
    return bool(_words(column) & (_STATES | _GOOD | _BAD))


class StatusColumns:
    """The values of the columns that say whether a row counts."""

    def __init__(self) -> None:
        self._values: dict[str, Counter[str]] = {}
        self._other: set[str] = set()

    def add(self, row: Mapping[Any, Any]) -> None:
        """Count a row."""
        for name, cell in row.items():
            if not isinstance(name, str) or name in self._other:
                continue
            counts = self._values.get(name)
            if counts is None and not names_status(name):
                self._other.add(name)
                continue
            counts = self._values.setdefault(name, Counter())
            if is_missing(cell):
                continue
            counts[cell.strip() if isinstance(cell, str) else str(cell)] += 1
            if len(counts) > _MOST_VALUES:
                del self._values[name]
                self._other.add(name)

    def unwanted(self, column: str) -> list[UnwantedRows]:
        """Return the values of a column that say that a row should not count, most frequent first."""
        words = _words(column)
        values = self._values.get(column, Counter())
        found = [(value, count) for value, count in values.most_common() if _is_unwanted(value, words)]
        return [UnwantedRows(column, value, count) for value, count in found]


def _is_unwanted(value: str, words: frozenset[str]) -> bool:
    plain = value.casefold()
    if plain in _UNWANTED:
        return True
    if words & _BAD:
        return plain in _YES
    return bool(words & _GOOD) and plain in _NO


def _words(name: str) -> frozenset[str]:
    return frozenset(word.casefold() for word in _WORD.findall(name))
