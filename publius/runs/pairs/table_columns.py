"""The columns of a table of preferences: all of them, those that are asked for, or plain ones for readers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import ConfigError
from core.text.explain import one_of

ALL = "all"
"""Asks for every column."""
OWN = " (own)"
"""After the name of a user's column that is also one of ours."""
PREFIX = "p:"
"""Before the id of a principle, in the name of the column of its probabilities."""
MADE_UP = "made_up"
"""Column of a table with all columns whose texts or labels the scripted engine made up: which ones."""
_DIGITS = 2
_BEFORE: Mapping[str, str] = {
    "prompt": "prompt",
    "chosen": "chosen answer",
    "rejected": "rejected answer",
    "p_chosen": "probability chosen is better",
}
_AFTER: Mapping[str, str] = {
    "sources": "labelled by",
    "words_chosen": "words chosen",
    "words_rejected": "words rejected",
    "tags": "tags",
}
_Row = Mapping[str, Any]


@dataclass(frozen=True)
class TableColumns:
    """The columns of a table, in order."""

    headings: Mapping[str, str]
    """The heading of each column, by its name."""
    is_plain: bool = False
    """True if probabilities are rounded for a reader, and ids are left out."""

    def types(self, known: Mapping[str, str]) -> dict[str, str]:
        """Return the type of each heading, from those of all columns by name."""
        return {heading: known[name] for name, heading in self.headings.items()}

    def row(self, values: _Row) -> dict[str, Any]:
        """Return the cells of a row by heading."""
        return {heading: self._cell(values.get(name)) for name, heading in self.headings.items()}

    def _cell(self, value: Any) -> Any:
        return round(value, _DIGITS) if self.is_plain and isinstance(value, float) else value


def is_plain_table(columns: Iterable[str]) -> bool:
    """Return True for the headings of a table with plain columns, which has no ids."""
    return {_BEFORE["chosen"], _BEFORE["rejected"], _BEFORE["p_chosen"]} <= set(columns)


def table_columns(
    known: Iterable[str], wanted: Sequence[str] | None, plain: Mapping[str, str] | None
) -> TableColumns:
    """Return the columns of a table.

    Args:
        known: the names of all columns, those of the user's included.
        wanted: the names that are asked for, or `all`; None for plain or for all columns.
        plain: headings by name if no columns are asked for; None for all columns.

    Raises:
        ConfigError: if there is no column of a name.
    """
    names = list(known)
    if wanted is None and plain is not None:
        return TableColumns(plain, is_plain=True)
    if wanted is None or list(wanted) == [ALL]:
        return TableColumns({name: name for name in names})
    for name in wanted:
        if name not in names:
            accepted = one_of([ALL, *names], name)
            raise ConfigError(f"no column {name!r}", where="--columns", accepted=accepted)
    return TableColumns({name: name for name in wanted})


def marked(name: str, *, is_made_up: bool) -> str:
    """Return the name of who wrote or labelled a row, with a mark if the scripted engine stood in."""
    return f"{name} (made up)" if is_made_up else name


def plain_headings(names: Iterable[str], own: Iterable[str]) -> dict[str, str]:
    """Return the plain headings of a table of preferences by the names of its columns.

    Args:
        names: the names of all columns.
        own: the names of the user's columns.
    """
    rules = {name: f"by {name.removeprefix(PREFIX)}" for name in names if name.startswith(PREFIX)}
    headings = {**_BEFORE, **rules, **_AFTER}
    taken = set(headings.values())
    return headings | {name: f"{name}{OWN}" if name in taken else name for name in own}
