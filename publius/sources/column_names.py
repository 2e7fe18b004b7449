"""`--columns` and `--verdicts`: map the user's names of columns and verdicts to ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import ConfigError
from core.text.explain import one_of
from labelers.formats.source import LabelSource, Row

_VERDICTS = ("a", "b", "tie", "both_bad", "skip")


@dataclass(frozen=True)
class ColumnNames:
    """The user's names for our columns and verdicts."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Their column for each of ours; `data.question` is the key `question` in the column `data`."""
    verdicts: Mapping[str, str] = field(default_factory=dict)
    """Our verdict for each value in their column of verdicts."""

    def applied(self, rows: Iterable[Row]) -> Iterator[Row]:
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
        for target, theirs in self.columns.items():
            if source.columns is not None and target not in source.columns:
                accepted = one_of(sorted(source.columns), target)
                raise ConfigError(
                    f"the format {source.name} has no column {target!r}", where="--columns", accepted=accepted
                )
            values = [row.values for row in rows if isinstance(row.values, Mapping)]
            if values and all(_found(row, theirs) is _NOTHING for row in values):
                names = list(dict.fromkeys(str(name) for row in values for name in row))
                raise ConfigError(f"no column {theirs!r}", where="--columns", accepted=one_of(names, theirs))

    def _applied(self, row: Row) -> Row:
        if not isinstance(row.values, Mapping):
            return row
        values = dict(row.values)
        for target, theirs in self.columns.items():
            found = _found(row.values, theirs)
            if found is not _NOTHING:
                values[target] = found
        if self.verdicts and "verdict" in values:
            word = self.verdicts.get(_spelled(values["verdict"]))
            values["verdict"] = values["verdict"] if word is None else word
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
    """Return the value of a column, or at a dotted path; `_NOTHING` if there is none."""
    if name in values:
        return values[name]
    here: Any = values
    for part in name.split("."):
        if not isinstance(here, Mapping) or part not in here:
            return _NOTHING
        here = here[part]
    return here


def _spelled(value: Any) -> str:
    """Return a value as the user would write it. 1.0 becomes 1: tables with gaps store integers as floats."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
