"""`--columns` and `--verdicts`: map the user's names of columns and verdicts to ours."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from core.errors import ConfigError
from core.text.explain import one_of
from core.text.literals import float_of, parsed_literal
from core.text.yaml_file import parse_yaml
from labelers.formats.columns import LISTED, NAMES, TARGETS, ListedCells
from labelers.formats.people_columns import PEOPLE, folded_word, side_words
from labelers.formats.source import LabelSource, Row
from prompts.conditions import NOT
from publius.sources.rows import SourceRow

_AnyRow = TypeVar("_AnyRow", Row, SourceRow)
_STEP = re.compile(r"([^.\[\]]+)|\[(-?\d+)\]")
"""One step of a path: a key, or a position in a list."""
_PATH = re.compile(r"([^.\[\]]+|\[-?\d+\])((\.[^.\[\]]+)|\[-?\d+\])*")
CASE_COLUMNS = ("id", "case", "case_id", "ticket", "ticket_id", "conversation_id", "#", "no", "nr", "number")
"""Columns with the name of a case for people, in order of precedence; names match whatever their case."""
_PLUS, _TAGS = "+", "tags"
"""Tags may stand in several columns: `type+label`."""
_ANY_TABLE = "columns"
_SHOWN_COLUMNS = 12
_VERDICT_COLUMNS = ("verdict", "better")
_ORIGIN_OF = {"origin_a": "response_a", "origin_b": "response_b"}
_VERDICTS = ("a", "b", "tie", "both_bad", "skip")


@dataclass(frozen=True)
class ColumnNames:
    """The user's names for our columns and verdicts."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Their column for each of ours, or a path: `data.question` is the key `question` in the column `data`,
    and `responses[0].text` the key `text` in the first element of the list `responses`. Of the columns of an
    opinion, `graders.pick` is the key `pick` in every element of the list `graders`."""
    verdicts: Mapping[str, str] = field(default_factory=dict)
    """Our verdict for each value in their column of verdicts."""
    people: tuple[str, ...] = ()
    """Their columns of verdicts, if there is one for each person."""

    @cached_property
    def sides(self) -> Mapping[str, str]:
        """`a` or `b` for the words that tell their columns of answers apart, as in `old` and `new`."""
        a, b = (self.columns.get(name) for name in NAMES)
        return {} if a is None or b is None else side_words((a, b))

    @cached_property
    def _scale(self) -> int | None:
        """The sign by which a column of verdicts is a margin, too; None if it is no signed scale."""
        theirs = self.columns.get("margin")
        if theirs is None or theirs != self.columns.get("verdict"):
            return None
        numbers = ((verdict, as_number(word)) for word, verdict in self.verdicts.items())
        for_a = [
            n if verdict == "a" else -n for verdict, n in numbers if verdict in ("a", "b") and n is not None
        ]
        if not for_a or not (all(n > 0 for n in for_a) or all(n < 0 for n in for_a)):
            return None
        return 1 if for_a[0] > 0 else -1

    def _margin(self, value: Any) -> Any:
        """Return a step of a signed scale as the margin of `a`; a value that is no number as it is."""
        number = as_number(value)
        return value if number is None or self._scale is None else 0.0 + number * self._scale

    @property
    def read(self) -> frozenset[str]:
        """The user's columns that are read, by the first step of their paths and by their whole names."""
        paths = [*self.columns.values(), *self.people]
        steps = {step[1] for name in paths if (step := _STEP.match(name)) and step[1]}
        return frozenset(paths) | steps | {ours for ours, side in _ORIGIN_OF.items() if side in self.columns}

    @property
    def answers(self) -> tuple[str, str] | None:
        """The user's columns of the first and the second answer; None unless both have names of their own."""
        first, second = (self.columns.get(name) for name in NAMES)
        return None if first is None or second is None else (first, second)

    def applied(self, rows: Iterable[_AnyRow]) -> Iterator[_AnyRow]:
        """Yield the rows with our columns in place of the user's, whose names then mean nothing else."""
        return map(self._applied, rows) if self.columns or self.verdicts or self.people else iter(rows)

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
        for target in self.columns:
            if ours is not None and target not in ours:
                accepted = one_of(sorted(ours), target) + (others if target in TARGETS else "")
                raise ConfigError(f"{reader} has no column {target!r}", where="--columns", accepted=accepted)
        values = [row for row in rows if isinstance(row, Mapping)]
        if values and _TAGS in self.columns:
            seen = list(dict.fromkeys(str(name) for row in values for name in row))
            require_each_column(self.columns[_TAGS], seen, "--columns tags")
        for ours_for, theirs in (*self.columns.items(), *((None, name) for name in self.people)):
            if values and all(_cell(row, ours_for, theirs) is _NOTHING for row in values):
                names = list(dict.fromkeys(str(name) for row in values for name in row))
                names += _paths_into(values, top_column(theirs, names), ours_for)
                raise ConfigError(f"no column {theirs!r}", where="--columns", accepted=one_of(names, theirs))

    def _applied(self, row: _AnyRow) -> _AnyRow:
        if not isinstance(row.values, Mapping):
            return row
        values = without_mapped(row.values, (*self.columns.values(), *self.people))
        for target, theirs in self.columns.items():
            found = _cell(row.values, target, theirs)
            if found is not _NOTHING:
                values[target] = found
        for name in _VERDICT_COLUMNS if self.verdicts or self.sides else ():
            if name in values:
                cell = values[name]
                listed = isinstance(cell, ListedCells)
                values[name] = ListedCells(map(self._verdict, cell)) if listed else self._verdict(cell)
        if self._scale is not None and "margin" in values:
            cell = values["margin"]
            values["margin"] = (
                ListedCells(map(self._margin, cell)) if isinstance(cell, ListedCells) else self._margin(cell)
            )
        if self.people:
            cells = {name: _found(row.values, name) for name in self.people}
            values[PEOPLE] = {
                name: None if cell is _NOTHING else self._verdict(cell) for name, cell in cells.items()
            }
        for target, answer in _ORIGIN_OF.items():  # so that the file's own names are those of the answers
            if answer in self.columns and self.columns[answer] != answer:
                values.setdefault(target, self.columns[answer])
        return replace(row, values=values)

    def _verdict(self, value: Any) -> Any:
        """Return our word for a verdict; the value itself if the user's words do not have it."""
        written = written_value(value)
        if written in self.verdicts:
            return self.verdicts[written]
        return self.sides.get(folded_word(written), value)


def parse_columns(given: Sequence[str], example: str = "prompt=question,verdict=label") -> dict[str, str]:
    """Return the user's column for each of ours, from options like `example`.

    Several columns for `tags` are one name, as `type+label`.

    Raises:
        ConfigError: if one does not have the form OURS=THEIRS, or one of our columns is mapped twice.
    """
    every = list(dict.fromkeys(_pair(part, "--columns", example) for part in _parts(given)))
    tags = _PLUS.join(name for ours, name in every if ours == _TAGS)
    pairs = list(dict.fromkeys((ours, tags if ours == _TAGS else name) for ours, name in every))
    twice = [ours for ours, count in Counter(ours for ours, _ in pairs).items() if count > 1]
    if twice:
        theirs = " and ".join(name for ours, name in pairs if ours == twice[0])
        what = f"{twice[0]} is mapped to {theirs}"
        raise ConfigError(what, where="--columns", accepted="one column for each of ours")
    return dict(pairs)


def parse_label_names(columns: Sequence[str], verdicts: Sequence[str]) -> ColumnNames:
    """Return the names of a table of labels, whose column `verdict` may be several: one for each person.

    Raises:
        ConfigError: as `parse_columns` and `parse_verdicts`; or if several columns of verdicts stand beside
            a column of annotators.
    """
    parts = list(dict.fromkeys(_parts(columns)))
    people = [part for part in parts if part.partition("=")[0].strip() == "verdict"]
    if len(people) < 2:
        return ColumnNames(parse_columns(parts), parse_verdicts(verdicts))
    named = [_pair(part, "--columns", "verdict=ANNA,verdict=BEN")[1] for part in people]
    others = parse_columns([part for part in parts if part not in people])
    both = sorted({"annotator", "rating_a", "rating_b", "p_a"} & others.keys())
    if both:
        what = f"{both[0]} is mapped beside {len(named)} columns of verdicts, each of which is one person's"
        raise ConfigError(what, where="--columns", accepted=f"one column for verdict, or no {both[0]}")
    return ColumnNames(others, parse_verdicts(verdicts), tuple(named))


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


def parse_conditions(given: Sequence[str]) -> dict[str, Any]:
    """Return the conditions of options like `consent=true`, `market=[DE, UK]` or `status!=rejected`.

    Raises:
        ConfigError: if one does not have the form COLUMN=VALUE or COLUMN!=VALUE, is not a value or a list of
            values, or two want different values of one column.
    """
    found = dict[str, Any]()
    for part in given:
        name, wanted = _pair(part, "--where", "consent=true or status!=rejected", "COLUMN=VALUE")
        if name.endswith(NOT):
            name = f"{name.removesuffix(NOT).rstrip()}{NOT}"
        value = parse_yaml(wanted, Path(f"--where {name}")).value
        if any(isinstance(one, Mapping | list) for one in (value if isinstance(value, list) else [value])):
            accepted = "a value or a list of values, as in market=[DE, UK]"
            raise ConfigError(f"found {wanted!r}", where=f"--where {name}", accepted=accepted)
        if name in found and name.endswith(NOT):  # neither of them: one list
            earlier, later = (v if isinstance(v, list) else [v] for v in (found[name], value))
            value = [*earlier, *later]
        elif found.get(name, value) != value:
            what, accepted = f"two values for {name!r}", f"one list for either of them: {name}=[A, B]"
            raise ConfigError(what, where="--where", accepted=accepted)
        found[name] = value
    return found


def _parts(given: Sequence[str]) -> Iterator[str]:
    return (part.strip() for option in given for part in option.split(",") if part.strip())


def _pair(part: str, option: str, example: str, form: str = "OURS=THEIRS") -> tuple[str, str]:
    ours, equals, theirs = part.partition("=")
    if not equals or not ours.strip() or not theirs.strip():
        raise ConfigError(f"found {part!r}", where=option, accepted=f"{form}, as in {example}")
    return ours.strip(), theirs.strip()


def at_paths(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return what a row has at each name, a column or a path into one; a name that it lacks is left out."""
    found = {name: _found(values, name) for name in names}
    return {name: value for name, value in found.items() if value is not _NOTHING}


def cells_of_list(values: Mapping[str, Any], name: str) -> Sequence[Any] | None:
    """Return the cells at a path through a list, such as `completions[].response`, one for each element.

    The brackets may be left out. None if the row has no list there, or the path leads to one value.
    """
    plain = name.replace("[]", "")
    if _found(values, plain) is not _NOTHING:
        return None
    cells = _listed(values, plain)
    return cells if isinstance(cells, ListedCells) else None


def without_mapped(values: Mapping[str, Any], mapped: Iterable[str]) -> dict[str, Any]:
    """Return a row without the columns that the user mapped; one that a path leads into stays."""
    meant = set(mapped)
    return {name: value for name, value in values.items() if name not in meant}


def top_column(name: str, values: Collection[str]) -> str:
    """Return the column that a path such as `data.turns[0]` begins with; a column's name as it is."""
    return name if name in values else re.split(r"[.\[]", name, maxsplit=1)[0]


def top_columns(name: str, values: Collection[str]) -> set[str]:
    """Return the columns that a name such as `type+label`, or a path, begins with."""
    several = _PLUS in name and name not in values
    return {top_column(one, values) for one in (_several(name) if several else [name])}


_NOTHING = object()


def _found(values: Mapping[str, Any], name: str) -> Any:
    """Return the value of a column, or at a path; `_NOTHING` if there is none.

    A list that is shorter than a path's position has None there: other rows may have that many elements.
    """
    if name in values:
        return values[name]
    found = _walked(values, _STEP.findall(name)) if _PATH.fullmatch(name) else _NOTHING
    return _tags_of(values, _several(name)) if found is _NOTHING and _PLUS in name else found


def _several(name: str) -> list[str]:
    """Return the columns of a name such as `type+label`."""
    return [part.strip() for part in name.split(_PLUS) if part.strip()]


def _tags_of(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the tags in several columns as one list: of a truth value, the column's name if it is true."""
    cells = {name: cell for name in names if (cell := _found(values, name)) is not _NOTHING}
    tags: list[str] = []
    for name, cell in cells.items():
        words = (
            cell if isinstance(cell, list | tuple) else [] if cell is None else re.split("[,;]", str(cell))
        )
        for word in (str(one).strip() for one in words):
            is_truth = word.casefold() in ("true", "false")
            tags += [name] if word.casefold() == "true" else [] if is_truth or not word else [word]
    return tags if cells else _NOTHING


def require_each_column(theirs: str, columns: Collection[str], where: str) -> None:
    """Raise a ConfigError if one of the columns of a name such as `type+label` does not exist."""
    if theirs in columns or _PLUS not in theirs:
        return
    for name in _several(theirs):
        if top_column(name, columns) not in columns:
            raise ConfigError(f"no column {name!r}", where=where, accepted=one_of(columns, name))


def _cell(values: Mapping[str, Any], target: str | None, name: str) -> Any:
    """Return what a row has for a column of ours: as `_found`, or a cell for each element of a list."""
    found = _found(values, name)
    return _listed(values, name) if found is _NOTHING and target in LISTED else found


def _listed(values: Mapping[str, Any], name: str) -> Any:
    """Return the cells at a path through a list without a position in it; `_NOTHING` if there are none."""
    steps = _STEP.findall(name) if _PATH.fullmatch(name) else []
    for number in range(1, len(steps)):
        here = _walked(values, steps[:number])
        here = parsed_literal(here) if isinstance(here, str) else here
        if isinstance(here, list | tuple) and steps[number][0]:
            cells = [_walked(element, steps[number:]) for element in here]
            if cells and all(cell is _NOTHING for cell in cells):
                return _NOTHING
            return ListedCells(None if cell is _NOTHING else cell for cell in cells)
    return _NOTHING


def _paths_into(rows: Sequence[Mapping[str, Any]], column: str, target: str | None) -> list[str]:
    """Return the paths to the keys of the objects in a column, or in the lists in it."""
    found = list[str]()
    for row in rows:
        cell = row.get(column)
        cell = parsed_literal(cell) if isinstance(cell, str) else cell
        if isinstance(cell, Mapping):
            found += [f"{column}.{key}" for key in cell]
        elif isinstance(cell, list | tuple):
            within = column if target in LISTED else f"{column}[0]"
            found += [
                f"{within}.{key}" for element in cell if isinstance(element, Mapping) for key in element
            ]
    return list(dict.fromkeys(found))


def _walked(values: Any, steps: Iterable[tuple[str, str]]) -> Any:
    here = values
    for key, position in steps:
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


def as_number(value: Any) -> float | None:
    """Return a number, or text that is one; None for anything else."""
    try:
        if isinstance(value, str):
            return float_of(value)
        return float(value) if isinstance(value, int | float) else None
    except ValueError:
        return None


def written_value(value: Any) -> str:
    """Return a value as the user would write it. 1.0 becomes 1: tables with gaps store integers as floats."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def listed_columns(names: Sequence[str]) -> str:
    """Return columns in words: all names, or the first of many and how many more there are."""
    more = f" and {len(names) - _SHOWN_COLUMNS:,} more" if len(names) > _SHOWN_COLUMNS else ""
    return f"{', '.join(names[:_SHOWN_COLUMNS])}{more}"


def case_named(values: Mapping[str, Any]) -> str:
    """Return the cell of the first of `CASE_COLUMNS` that a row has and that is filled; empty without one."""
    own = {folded_word(str(name)): value for name, value in reversed(list(values.items()))}
    found = (own.get(folded_word(name)) for name in CASE_COLUMNS)
    return next((" ".join(str(cell).split()) for cell in found if cell not in (None, "")), "")
