"""Conditions on the columns of rows: `prompts.where` of a run file, and `--where` of a command."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import ConfigError
from core.text.explain import one_of
from core.text.yaml_writing import yaml_flow

WantedValue = bool | int | float | str | None
"""A value that a column may be required to have; None stands for an empty or missing cell."""
Conditions = Mapping[str, WantedValue | Sequence[WantedValue]]
"""The wanted value of each column or path, or a list of values of which it has one; after a name that ends
in `!`, the values that it must not have."""
PROMPTS_WHERE = "prompts.where"
NOT = "!"
"""The end of a name whose values are unwanted: `--where status!=rejected` is the name `status!`."""
_MAX_VALUES = 8
"""Values of a column that an error shows."""


def condition_columns(conditions: Conditions) -> list[str]:
    """Return the columns, or paths into them, that conditions are about."""
    return list(dict.fromkeys(name.removesuffix(NOT) for name in conditions))


def unmet_condition(
    cells: Mapping[str, Any], conditions: Conditions, setting: str = PROMPTS_WHERE
) -> str | None:
    """Return the first condition that a row does not meet, as the reason to leave it out; or None.

    Args:
        cells: the row's value at each of the `condition_columns`, as far as it has one.
        conditions: what is wanted.
        setting: where the user gave the conditions.
    """
    for name, wanted in conditions.items():
        cell = cells.get(name.removesuffix(NOT))
        if any(_is_equal(cell, one) for one in _listed(wanted)) == name.endswith(NOT):
            return f"left out by {setting} {described_condition(name, wanted)}"
    return None


def described_condition(name: str, wanted: WantedValue | Sequence[WantedValue]) -> str:
    """Return a condition in words, such as `market = DE or UK`."""
    is_not = " !" if name.endswith(NOT) else " "
    return f"{name.removesuffix(NOT)}{is_not}= {' or '.join(map(_spelled, _listed(wanted)))}"


@dataclass
class ConditionSurvey:
    """Which of the columns in conditions exist, and the values that they have."""

    conditions: Conditions
    setting: str = PROMPTS_WHERE
    """Where the user gave them."""
    met: int = 0
    """Rows that meet all conditions."""
    values: dict[str, dict[str, None]] = field(default_factory=dict)
    """The first values of each column that a row has."""

    def add(self, cells: Mapping[str, Any]) -> None:
        """Count a row by its values at the columns of the conditions."""
        self.met += unmet_condition(cells, self.conditions) is None
        for name, value in cells.items():
            found = self.values.setdefault(name, {})
            if len(found) < _MAX_VALUES:
                found.setdefault(_spelled(value))

    def check(self, columns: Sequence[str]) -> None:
        """Refuse conditions that no row can meet.

        Args:
            columns: the columns of the rows.

        Raises:
            ConfigError: if a column does not exist, or no row meets all conditions.
        """
        for name in condition_columns(self.conditions):
            if name not in self.values:
                raise ConfigError(f"no column {name!r}", where=self.setting, accepted=one_of(columns, name))
        if self.conditions and not self.met:
            wanted = " and ".join(described_condition(*one) for one in self.conditions.items())
            found = "; ".join(f"{name}: {', '.join(values)}" for name, values in self.values.items())
            raise ConfigError(
                f"no row has {wanted}", where=self.setting, accepted=f"values of the rows ({found})"
            )


def _listed(wanted: WantedValue | Sequence[WantedValue]) -> Sequence[WantedValue]:
    return wanted if isinstance(wanted, list | tuple) else (wanted,)


def _is_equal(cell: Any, wanted: WantedValue) -> bool:
    """Return whether a cell has a value; text beside another type is read as that of a table's cell."""
    if isinstance(cell, float) and math.isnan(cell):  # an empty cell of a table with numbers
        cell = None
    if isinstance(cell, str) and not isinstance(wanted, str):
        cell = _read(cell)
    elif isinstance(wanted, str) and not isinstance(cell, str):
        wanted = _read(wanted)
    if isinstance(cell, str) and isinstance(wanted, str):
        return cell.strip() == wanted.strip()
    return isinstance(cell, bool) == isinstance(wanted, bool) and bool(cell == wanted)


def _read(text: str) -> WantedValue:
    """Return the truth value, the number or the nothing that a text stands for; any other text as it is."""
    plain = text.strip()
    if not plain:
        return None
    if plain.casefold() in ("true", "false"):
        return plain.casefold() == "true"
    for kind in (int, float):
        try:
            return kind(plain)
        except ValueError:
            continue
    return text


def _spelled(value: Any) -> str:
    if isinstance(value, bool | int | float | str) or value is None:
        return value if isinstance(value, str) and value.strip() else yaml_flow(value)
    return json.dumps(value, default=str, ensure_ascii=False)[:60]
