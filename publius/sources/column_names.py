"""`--columns` and `--verdicts`: map the user's names of columns and verdicts to ours."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from core.errors import ConfigError
from core.text.explain import one_of
from core.text.literals import parsed_literal
from labelers.formats.columns import TARGETS
from labelers.formats.source import LabelSource, Row
from publius.sources.rows import SourceRow

_AnyRow = TypeVar("_AnyRow", Row, SourceRow)
_STEP = re.compile(r"([^.\[\]]+)|\[(-?\d+)\]")
"""One step of a path: a key, or a position in a list."""
_PATH = re.compile(r"([^.\[\]]+|\[-?\d+\])((\.[^.\[\]]+)|\[-?\d+\])*")
_ANY_TABLE = "columns"
_VERDICT_COLUMNS = ("verdict", "better")
_VERDICTS = ("a", "b", "tie", "both_bad", "skip")


@dataclass(frozen=True)
class ColumnNames:
    """The user's names for our columns and verdicts."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Their column for each of ours, or a path: `data.question` is the key `question` in the column `data`,
    and `responses[0].text` the key `text` in the first element of the list `responses`."""
    verdicts: Mapping[str, str] = field(default_factory=dict)
    """Our verdict for each value in their column of verdicts."""

    @property
    def read(self) -> frozenset[str]:
        """The user's columns that are read, by the first step of their paths and by their whole names."""
        paths = list(self.columns.values())
        return frozenset(paths) | {step[1] for name in paths if (step := _STEP.match(name)) and step[1]}

    def applied(self, rows: Iterable[_AnyRow]) -> Iterator[_AnyRow]:
        """Yield the rows with our columns added."""
        return map(self._applied, rows) if self.columns or self.verdicts else iter(rows)

    def check(self, source: LabelSource, rows: Sequence[Row]) -> None:
        """Refuse columns that do not exist.

        Args:
            source: the source that reads the rows.
            rows: the first rows, before names are applied.

        Raises:
            ConfigError: if the source does not read one of our columns, or no row has one of the user's.
        """
        others = f"; or --format {_ANY_TABLE}, which reads any table"
        self.check_columns(source.columns, f"the format {source.name}", [row.values for row in rows], others)

    def check_columns(
        self, ours: Collection[str] | None, reader: str, rows: Sequence[Any], others: str = ""
    ) -> None:
        """Refuse columns that do not exist.

        Args:
            ours: the columns that are read; None for all.
            reader: what reads them, for the error.
            rows: the values of the first rows, before names are applied.
            others: what else reads our columns of labels, for the error.

        Raises:
            ConfigError: if `ours` lacks one of our columns, or no row has one of the user's.
        """
        for target, theirs in self.columns.items():
            if ours is not None and target not in ours:
                accepted = one_of(sorted(ours), target) + (others if target in TARGETS else "")
                raise ConfigError(f"{reader} has no column {target!r}", where="--columns", accepted=accepted)
            values = [row for row in rows if isinstance(row, Mapping)]
            if values and all(_found(row, theirs) is _NOTHING for row in values):
                names = list(dict.fromkeys(str(name) for row in values for name in row))
                raise ConfigError(f"no column {theirs!r}", where="--columns", accepted=one_of(names, theirs))

    def _applied(self, row: _AnyRow) -> _AnyRow:
        if not isinstance(row.values, Mapping):
            return row
        values = dict(row.values)
        for target, theirs in self.columns.items():
            found = _found(row.values, theirs)
            if found is not _NOTHING:
                values[target] = found
        for name in _VERDICT_COLUMNS if self.verdicts else ():
            if name in values:
                values[name] = self.verdicts.get(_spelled(values[name]), values[name])
        return replace(row, values=values)


def parse_columns(given: Sequence[str], example: str = "prompt=question,verdict=label") -> dict[str, str]:
    """Return the user's column for each of ours, from options like `example`.

    Raises:
        ConfigError: if one does not have the form OURS=THEIRS.
    """
    return dict(_pair(part, "--columns", example) for part in _parts(given))


def parse_verdicts(given: Sequence[str]) -> dict[str, str]:
    """Return our verdict for each of the user's, from options like `a=1,b=0,tie=2`.

    Raises:
        ConfigError: if one does not have the form OURS=THEIRS, or is not a verdict of ours.
    """
    pairs = [_pair(part, "--verdicts", "a=1,b=0,tie=2") for part in _parts(given)]
    for verdict, _ in pairs:
        if verdict not in _VERDICTS:
            accepted = one_of(_VERDICTS, verdict)
            raise ConfigError(f"unknown verdict {verdict!r}", where="--verdicts", accepted=accepted)
    return {theirs: verdict for verdict, theirs in pairs}


def _parts(given: Sequence[str]) -> Iterator[str]:
    return (part.strip() for option in given for part in option.split(",") if part.strip())


def _pair(part: str, option: str, example: str) -> tuple[str, str]:
    ours, equals, theirs = part.partition("=")
    if not equals or not ours.strip() or not theirs.strip():
        raise ConfigError(f"found {part!r}", where=option, accepted=f"OURS=THEIRS, as in {example}")
    return ours.strip(), theirs.strip()


_NOTHING = object()


def _found(values: Mapping[str, Any], name: str) -> Any:
    """Return the value of a column, or at a path; `_NOTHING` if there is none.

    A list that is shorter than a path's position has None there: other rows may have that many elements.
    """
    if name in values:
        return values[name]
    if not _PATH.fullmatch(name):
        return _NOTHING
    here: Any = values
    for key, position in _STEP.findall(name):
        if isinstance(here, str):
            here = parsed_literal(here)
        if key and isinstance(here, Mapping) and key in here:
            here = here[key]
        elif position and isinstance(here, list | tuple):
            number = int(position)
            here = here[number] if -len(here) <= number < len(here) else None
        elif here is None:
            return None
        else:
            return _NOTHING
    return here


def _spelled(value: Any) -> str:
    """Return a value as the user would write it. 1.0 becomes 1: tables with gaps store integers as floats."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
