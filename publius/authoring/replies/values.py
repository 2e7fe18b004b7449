"""How many replies keep each rule, by the values of a column of their file: thumbs, stars, agents."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.statistics.bootstrap import Interval, wilson
from publius.authoring.replies.words import is_broken, is_decided
from publius.authoring.reply import PrincipleOutcome

GroupValue = str | float | bool | None
"""Value of a cell; None for an empty one."""
_Told = tuple[Any, Sequence[PrincipleOutcome]]
"""A reply: the cell of the column, and its outcome under each rule."""


@dataclass(frozen=True)
class KeptCounts:
    """Replies with a value that keep a rule, of those that a check or the model decided."""

    kept: int
    decided: int

    @property
    def share(self) -> Interval | None:
        """The share of them with its interval; None if none was decided."""
        return wilson(self.kept / self.decided, self.decided) if self.decided else None

    def as_json(self) -> dict[str, Any]:
        """Return the counts and the share, with its interval of 95 %, as JSON-able values."""
        found = self.share
        share = {} if found is None else {"share": found.value, "low": found.low, "high": found.high}
        return {"kept": self.kept, "decided": self.decided, **share}


@dataclass(frozen=True)
class ValueCounts:
    """The replies with one value of the column."""

    value: str | float | bool | None
    """None for replies without one."""
    replies: int
    keeping: KeptCounts
    """Replies that keep all rules, of those with a decided one."""
    rules: Mapping[str, KeptCounts]
    """By id of the rule."""

    @property
    def name(self) -> str:
        """The value as it is printed."""
        return "(empty)" if self.value is None else value_name(self.value)

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON-able values."""
        rules = [{"principle": name, **counts.as_json()} for name, counts in self.rules.items()]
        return {
            "value": self.value,
            "replies": self.replies,
            "all_rules": self.keeping.as_json(),
            "principles": rules,
        }


@dataclass(frozen=True)
class RulesByValue:
    """How many replies keep each rule, by the values of a column."""

    column: str
    values: tuple[ValueCounts, ...]
    """Numbers by size, then truth values, false first, then texts, and replies without a value last."""
    listed: int = 0
    """Replies whose cell is a list of several values; each counts under all of them."""

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON-able values."""
        found = {"column": self.column, "values": [one.as_json() for one in self.values]}
        return {**found, "listed": self.listed} if self.listed else found


def rules_by_value(column: str, told: Sequence[_Told]) -> RulesByValue:
    """Return how many replies keep each rule, by the values of a column.

    A number is one value however it is written (`4`, `4.0`). Each element of a list is a value.

    Args:
        column: the name of the column.
        told: each reply, with its cell and its outcomes in the order of the constitution.
    """
    groups: dict[str, tuple[Any, list[Sequence[PrincipleOutcome]]]] = {}
    listed = 0
    for cell, outcomes in told:
        values = {repr(value): value for value in cell_values(cell)}
        listed += len(values) > 1
        for key, value in values.items():
            groups.setdefault(key, (value, []))[1].append(outcomes)
    found = (_counts(value, replies) for value, replies in groups.values())
    return RulesByValue(column, tuple(sorted(found, key=lambda one: value_order(one.value))), listed)


def value_name(value: str | float | bool) -> str:
    """Return a value as people write it: 4 rather than 4.0, and true rather than True."""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _counts(value: str | float | bool | None, replies: Sequence[Sequence[PrincipleOutcome]]) -> ValueCounts:
    rules = {
        of_rule[0].principle: _kept([found for found in of_rule if is_decided(found)])
        for of_rule in zip(*replies, strict=True)
    }
    decided = [outcomes for outcomes in replies if any(map(is_decided, outcomes))]
    keeping = sum(not any(map(is_broken, outcomes)) for outcomes in decided)
    return ValueCounts(value, len(replies), KeptCounts(keeping, len(decided)), rules)


def _kept(decided: Sequence[PrincipleOutcome]) -> KeptCounts:
    return KeptCounts(sum(not is_broken(found) for found in decided), len(decided))


def cell_values(cell: Any) -> list[GroupValue]:
    """Return the values of a cell: of a list, each of its elements."""
    if isinstance(cell, list | tuple):
        return [_value(element) for element in cell] or [None]
    return [_value(cell)]


def _value(cell: Any) -> GroupValue:
    """Return a cell as a value: a number for a text that is one, None for nothing."""
    if cell is None or isinstance(cell, bool):
        return cell
    if isinstance(cell, Mapping | list | tuple):
        return json.dumps(cell, ensure_ascii=False, default=str)
    text = " ".join(str(cell).split())
    if text.casefold() in ("true", "false"):  # as a table without types has them
        return text.casefold() == "true"
    try:
        number = float(text)
    except ValueError:
        return text or None
    if not math.isfinite(number):
        return None if math.isnan(number) else text
    return int(number) if number.is_integer() else number


def value_order(value: GroupValue) -> tuple[int, float, str]:
    """Return the key that sorts values: numbers, truth values, texts, and no value last."""
    if value is None:
        return 3, 0, ""
    if isinstance(value, str):
        return 2, 0, value.casefold()
    return int(isinstance(value, bool)), float(value), ""
