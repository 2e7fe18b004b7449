"""What a data set of prompts holds, found by reading it once before anything is written.

The survey finds mistakes that concern the whole data set, decides which of the user's columns are carried to
the export, and counts letter grams for the search of near-duplicates.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, Literal, NoReturn

from core.errors import SAME_COMMAND, ConfigError, DataError, shell_command
from core.store.near_duplicates import GramCounts
from core.text.explain import one_of
from core.text.yaml_writing import yaml_flow
from prompts.conditions import ConditionSurvey, condition_columns
from prompts.rows import ANSWER_COLUMNS, OUR_COLUMNS, PROMPT_COLUMN_ORDER, READ_COLUMNS, text_cell
from prompts.sources import compared_text
from publius.sources.column_names import at_paths, require_each_column, top_column
from publius.sources.prompts import PROMPT_FORMS, PromptRow, PromptSource, read_prompt_rows
from publius.sources.splits.mapping import unread_splits
from publius.sources.splits.own_column import check_split_names
from publius.sources.texts.reading import IN_RUN_FILE, TextsSeen, Ways, asked_texts
from publius.sources.unusable import text_paths

_MAX_COLUMNS = 100
_SHORT = 1000
"""Mean characters in the cells of a column that is carried to the export without being named."""
_FIRST = 3
"""Reasons that an error shows, each with its first row, if no row can be used."""
_SHOWN_CELL, _SHOWN_CELLS = 40, 3
"""Characters of a cell, and cells, that identify a row in an exclusion."""
_INTEGERS = range(-(2**63), 2**63)
"""Integers that Arrow, and therefore `datasets`, can store."""
_TIMES = (date, time, timedelta, Decimal)

MappedBy = Literal["--set", "--columns", "run file", "file"]
"""How the user can name the column of prompts: by an option, in the run file, or in the data set alone."""
CarriedValue = str | int | float | bool | None
"""A value of a carried column; a list or a mapping is carried as JSON text."""


@dataclass
class ColumnUse:
    """What the rows have in one column."""

    read: bool = False
    kinds: set[str] = field(default_factory=set)
    """Kinds of values: `text`, `bool`, `int`, `float`, `time`, `other`."""
    cells: int = 0
    characters: int = 0
    """Characters of text, and of lists and mappings as JSON."""

    @property
    def is_short(self) -> bool:
        """True if the cells are short on average."""
        return self.cells > 0 and self.characters <= _SHORT * self.cells

    @property
    def dtype(self) -> str:
        """Type that holds all cells, in Arrow's words; values of several types are text."""
        if self.kinds == {"int", "float"}:
            return "float64"
        only = next(iter(self.kinds)) if len(self.kinds) == 1 else ""
        return {"int": "int64", "float": "float64", "bool": "bool"}.get(only, "string")

    def add(self, value: Any, read: bool) -> None:
        """Count one cell."""
        kind = _kind(value)
        self.read |= read
        self.kinds |= {kind} - {"missing"}
        self.cells += kind != "missing"
        if kind in ("text", "other"):
            self.characters += len(_encodable(value) or "")


_OF_GOLD = ("p_a", "votes", "voted")
"""Columns of `publius agreement --to` that say how people voted, and who of them."""
_ANNOTATOR = "annotator"


def columns_of_votes(columns: Collection[str]) -> frozenset[str]:
    """Return the columns in which Publius itself wrote people's votes, which no data set is to have."""
    return frozenset({"id", *_OF_GOLD} if columns and {*_OF_GOLD} <= set(columns) else ())


@dataclass
class ColumnSurvey:
    """The user's columns in a data set."""

    keep: Sequence[str] = ()
    """The columns of `prompts.keep`; paths into nested columns are counted as columns of that name."""
    columns: dict[str, ColumnUse] = field(default_factory=dict)
    where: ConditionSurvey = field(default_factory=lambda: ConditionSurvey({}))
    """The conditions of `prompts.where`."""

    def count_columns(self, values: Mapping[str, Any], read: Collection[str]) -> None:
        """Count the cells of a row; `read` are the names of its columns that were read."""
        if values:
            self.where.add(at_paths(values, condition_columns(self.where.conditions)))
        for name, value in {**at_paths(values, self.keep), **values}.items():
            if name in self.columns or len(self.columns) < _MAX_COLUMNS:
                self.columns.setdefault(str(name), ColumnUse()).add(value, name in read)

    def carried(self, keep: Sequence[str] | None) -> dict[str, str]:
        """Return the columns to carry to the export, each with its type in Arrow's words.

        Args:
            keep: the columns; None for all short ones that are not read.
        """
        if keep is None:
            of_people = {*columns_of_votes(self.columns), _ANNOTATOR}
            short = (name for name, use in self.columns.items() if use.is_short and not use.read)
            keep = [name for name in short if name not in of_people]
        return {name: self.columns[name].dtype if name in self.columns else "string" for name in keep}

    def unread(self, carried: Collection[str]) -> list[str]:
        """Return the columns with values that are neither read nor carried."""
        used = [*carried, *condition_columns(self.where.conditions)]
        parts = {top_column(name, ()) for name in used}
        return [
            name
            for name, use in self.columns.items()
            if use.kinds and not use.read and name not in used and name not in parts
        ]

    def require_columns(self, keep: Sequence[str]) -> None:
        """Raise ConfigError for a column in `prompts.keep` or `prompts.where` that no row has."""
        self.where.check(list(self.columns))
        of_people = columns_of_votes(self.columns) - {"id"}
        for name in keep:
            if name in of_people:
                what = (
                    f"{name} holds people's votes, as publius agreement --to wrote them, and is never carried"
                )
                raise ConfigError(what, where="prompts.keep", accepted="other columns of the file")
            if self.columns and name not in self.columns:
                _refuse_column("prompts.keep", name, self)


@dataclass
class PromptSurvey(ColumnSurvey):
    """The content of a data set of prompts."""

    grams: GramCounts = field(default_factory=GramCounts)
    rows: int = 0
    usable: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: list[PromptRow] = field(default_factory=list)
    """The first skipped row of each of the first reasons."""
    lost: Counter[str] = field(default_factory=Counter)
    """Rows by optional column whose value could not be read, such as `tags`."""
    notes: Counter[str] = field(default_factory=Counter)
    """Rows by how their prompt was read, where that is not plain."""
    split_names: Counter[str] = field(default_factory=Counter)
    """Rows by the word of their own column `split`."""
    unread_splits: str = ""
    """In one line, the splits of the data set that are not read; empty if there are none."""
    texts: TextsSeen = field(default_factory=TextsSeen)
    """How many prompts have HTML, or quoted mail, once they are read; `notes` counts those that lost it."""
    tools: Counter[int] = field(default_factory=Counter)
    """Rows by the number of tool turns that were left out of each."""
    absent: set[str] | None = None
    """Our names of mapped columns that no row has."""

    def add(self, row: PromptRow) -> None:
        """Count one row."""
        self.rows += 1
        if row.values or self.absent is not None:
            self.absent = set(row.absent) if self.absent is None else self.absent & row.absent
        read: Iterable[str] = ()
        if row.parsed is None:
            self.reasons[row.reason] += 1
            self.first += [row] if self.reasons[row.reason] == 1 and len(self.first) < _FIRST else []
        else:
            self.usable += 1
            self.lost.update(row.parsed.lost)
            self.notes.update([row.parsed.note] if row.parsed.note else [])
            self.split_names.update([row.parsed.split_name] if row.parsed.split_name else [])
            self.texts.add(asked_texts(row.parsed.prompt))
            self.grams.add(compared_text(row.parsed.prompt))
            self.tools.update([row.tools] if row.tools else [])
            read = row.parsed.read
        self.count_columns(row.values, frozenset(read))

    def misspelt(self) -> dict[str, str]:
        """Return our column for each column that has nearly its name and is neither read nor asked for.

        A column of `prompts.keep`, such as `conversation_id`, is meant as it is.
        """
        found = {}
        kept = {top_column(name, ()) for name in self.keep} | set(self.keep)
        for name, use in self.columns.items():
            plain = name.strip().casefold()
            near = difflib.get_close_matches(plain, READ_COLUMNS, n=1, cutoff=0.85)
            if (
                not use.read
                and name not in kept
                and near
                and near[0] != plain
                and near[0] not in self.columns
            ):
                found[name] = near[0]
        return found


def survey(source: PromptSource, mapped_by: MappedBy = "--set", ways: Ways = IN_RUN_FILE) -> PromptSurvey:
    """Return what a data set of prompts holds.

    Args:
        source: the data set.
        mapped_by: how the user names columns, for the errors.
        ways: what reads skipped conversations, for the errors.

    Raises:
        DataError: it cannot be read, no row can be used, or rows of `dev` and `test` would be mixed.
        ConfigError: a column in `prompts.columns`, `prompts.where` or `prompts.keep` does not exist, or no
            row has the values of `prompts.where`.
    """
    for ours in sorted(source.columns.keys() & set(ANSWER_COLUMNS)):
        what, accepted = "a column of pairs, not of prompts", f"one of {', '.join(OUR_COLUMNS)}"
        run = "publius label --pairs FILE --columns ..., to label pairs"
        raise ConfigError(what, where=f"prompts.columns.{ours}", accepted=accepted, run=run)
    found = PromptSurvey(keep=source.keep or (), where=ConditionSurvey(source.where))
    for row in read_prompt_rows(source, ways=ways):
        found.add(row)
    if not found.rows:
        raise DataError("the file contains no prompts", where=str(source.path), accepted=PROMPT_FORMS)
    if "tags" in source.columns:
        where = "--columns tags" if mapped_by == "--columns" else "prompts.columns.tags"
        require_each_column(source.columns["tags"], found.columns, where)
    for ours in sorted(found.absent or ()):
        where = f"--columns {ours}" if mapped_by == "--columns" else f"prompts.columns.{ours}"
        _refuse_column(where, source.columns[ours], found)
    found.require_columns(source.keep or ())
    if not found.usable:
        _refuse_all(source, found, mapped_by)
    check_split_names(found.split_names, str(source.path))
    found.unread_splits = unread_splits(source.path, source.subset, source.split)
    return found


def carried_values(values: Mapping[str, Any], carried: Mapping[str, str]) -> dict[str, CarriedValue]:
    """Return a row's cells of the carried columns and paths, each as the column's type."""
    found = at_paths(values, carried)
    return {name: _cell(found.get(name), dtype) for name, dtype in carried.items()}


def described_row(place: str, values: Mapping[str, Any], carried: Mapping[str, str]) -> str:
    """Return a row's place with its first short cells of the user's own columns, among them mostly an id."""
    shown = _short_cells(values, carried)
    return f"{place} ({shown})" if shown else place


def described_detail(detail: str, values: Mapping[str, Any], carried: Mapping[str, str]) -> str:
    """Return the detail of a row that is not used, with its first short cells as in `described_row`."""
    shown = _short_cells(values, carried)
    return f"{detail} ({shown})" if detail and shown else detail or shown


def _short_cells(values: Mapping[str, Any], carried: Mapping[str, str]) -> str:
    cells = (f"{name} {cell}" for name, cell in carried_values(values, carried).items() if cell is not None)
    return ", ".join(islice((cell for cell in cells if len(cell) <= _SHOWN_CELL), _SHOWN_CELLS))


def _cell(value: Any, dtype: str) -> CarriedValue:
    if _kind(value) == "missing":
        return None
    if dtype == "string":
        return str(value) if isinstance(value, _TIMES) else _encodable(value)
    return float(value) if dtype == "float64" else bool(value) if dtype == "bool" else int(value)


def _refuse_column(where: str, name: str, found: ColumnSurvey) -> NoReturn:
    raise ConfigError(f"no column {name!r}", where=where, accepted=one_of(found.columns, name))


def _refuse_all(source: PromptSource, found: PromptSurvey, mapped_by: MappedBy) -> NoReturn:
    """Raise an error with the reasons, the columns, and the mapping that would read the rows."""
    shown = "; ".join(_first_of_reason(row, found.reasons[row.reason]) for row in found.first)
    columns = f"; columns: {', '.join(found.columns)}" if found.columns else ""
    rows = (
        "the only row is not a prompt" if found.rows == 1 else f"none of the {found.rows:,} rows is a prompt"
    )
    what = f"{rows}: {shown}{columns}"
    guess = _likely_prompt(found.columns)
    if guess is not None and guess.strip():
        guess = _text_within(guess, [row.values for row in found.first])
    other, run = ("", None) if guess is None else _reading(guess, mapped_by)
    raise DataError(what, where=str(source.path), accepted=PROMPT_FORMS + other, run=run)


def _reading(column: str, mapped_by: MappedBy) -> tuple[str, str | None]:
    """Return what has a column read as the prompt: in words, or as the command to run."""
    if not column.strip():  # a title above the names of the columns, mostly
        return "; the column with the most text has no name: delete lines above the row of column names", None
    if mapped_by == "--set":
        setting = f"prompts.columns.prompt={yaml_flow(column)}"
        return "", f"{SAME_COMMAND} {shell_command('--set', setting)}"
    if mapped_by == "--columns" and "," not in column:  # which separates columns there
        return "", f"{SAME_COMMAND} {shell_command('--columns', f'prompt={column}')}"
    if mapped_by == "run file":
        return f"; or prompts.columns: {yaml_flow({'prompt': column})} in the run file", None
    return f"; or the column {column!r} renamed to prompt", None


def _first_of_reason(row: PromptRow, rows: int) -> str:
    more = f" and {rows - 1:,} more" if rows > 1 else ""
    return f"{row.place}{more}: {row.reason}{f' ({row.detail})' if row.detail else ''}"


def _likely_prompt(columns: Mapping[str, ColumnUse]) -> str | None:
    """Return the column that most likely holds prompts: the one with the most text, if none has our name."""
    if any(name.strip().casefold() in PROMPT_COLUMN_ORDER for name in columns):
        return None
    texts = {name: use.characters for name, use in columns.items() if use.characters}
    near = difflib.get_close_matches("prompt", texts, n=1, cutoff=0.8)
    return near[0] if near else max(texts, key=lambda name: texts[name], default=None)


def _text_within(column: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a column, or if it holds objects the path to the first text of several words in the rows."""
    row = next((row for row in rows if column in row), {})
    if not isinstance(row.get(column), Mapping):
        return column
    paths = text_paths(row)
    return paths[0] if paths else column


def _kind(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "missing"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if value in _INTEGERS else "other"
    if isinstance(value, _TIMES):
        return "time"
    return "float" if isinstance(value, float) else "text" if isinstance(value, str) else "other"


def _encodable(value: Any) -> str | None:
    """Return a value as text; None if UTF-8 cannot encode it or it is nested too deeply."""
    try:
        return text_cell(value)
    except ValueError:
        return None
