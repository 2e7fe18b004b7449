"""Training data from a user's own data set, in the columns that TRL's trainers take.

A row that cannot be used is excluded, with its place and the reason. Errors are raised only for problems of
the whole data set: a file that is not JSON, or columns that the first row lacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from core.conversations import answered_of, last_answer_of, shown, sides_of
from core.errors import DataError, RequestError
from labelers.formats.fields import number_of
from publius.sources.rows import DataSource, Origin, SourceRow, origin_of, read_rows, with_split
from training.examples import AnsweredPrompt, ExcludedExample, PreferencePair

__all__ = ["DataSource", "TrainingRows", "read_answers", "read_preferences"]

_Example = TypeVar("_Example")

_GROUPS = ("source", "section", "subset")
_PREFERENCE = frozenset(
    {"id", "prompt", "chosen", "rejected", "p_chosen", "weight", "margin", *_GROUPS}
    | {"finished_chosen", "finished_rejected"}
)
_CONVERSATION = frozenset({"id", "messages"})
_COMPLETION = frozenset({"id", "prompt", "completion"})
_MESSAGE = frozenset({"role", "content"})
_EVEN = 0.5
"""Probability of a tie."""


@dataclass(frozen=True)
class TrainingRows(Generic[_Example]):
    """The training examples of a data set."""

    rows: list[_Example]
    excluded: list[ExcludedExample]
    ignored_columns: tuple[str, ...]
    """Columns that are not used, and keys of messages as `chosen[].name`."""
    origin: Origin
    """The data that was read."""


def read_preferences(source: DataSource) -> TrainingRows[PreferencePair]:
    """Return the preferences of a data set, each with `p_chosen` of one half or more.

    Raises:
        DataError: if the data set does not exist, or has no columns `chosen` and `rejected`.
        MissingExtraError: if the package datasets is needed and not installed.
    """
    return _read(
        source,
        (frozenset({"chosen", "rejected"}),),
        "columns chosen and rejected, plus prompt unless they are whole conversations",
        lambda columns: _PREFERENCE,
        _pair,
    )


def read_answers(source: DataSource) -> TrainingRows[AnsweredPrompt]:
    """Return the prompts of a data set, each with the answer to learn.

    Raises:
        DataError: if the data set does not exist, or has neither `messages` nor `prompt` and `completion`.
        MissingExtraError: if the package datasets is needed and not installed.
    """
    return _read(
        source,
        (frozenset({"messages"}), frozenset({"prompt", "completion"})),
        "a column messages, or columns prompt and completion",
        lambda columns: _CONVERSATION if columns.get("messages") is not None else _COMPLETION,
        _answered,
    )


def _read(
    source: DataSource,
    needed: tuple[frozenset[str], ...],
    accepted: str,
    used: Callable[[Mapping[str, Any]], frozenset[str]],
    example_of: Callable[[Mapping[str, Any], str], _Example],
) -> TrainingRows[_Example]:
    """Return the examples of all rows, the excluded rows, and the ignored columns.

    Args:
        source: the data set to read.
        needed: sets of columns; the first row must have all of at least one set.
        accepted: the same in words, for errors.
        used: returns the names of a row's columns that are read.
        example_of: makes an example from a row and its id; raises RequestError if it cannot.
    """
    rows: list[_Example] = []
    excluded: list[ExcludedExample] = []
    seen: dict[str, None] = {}
    read: set[str] = set()
    count, source = 0, with_split(source)
    for count, row in enumerate(read_rows(source), start=1):
        if count == 1:
            _require_columns(row, needed, accepted, source.name)
        try:
            columns = _columns(row)
            names = used(columns)
            read |= names
            seen |= dict.fromkeys(_unread(columns, names))
            rows.append(example_of(columns, _id(columns, row.id)))
        except RequestError as error:
            excluded.append(ExcludedExample(row.id, error.reason, error.detail))
    if not count:
        raise DataError("the data set is empty", where=source.name, accepted=accepted)
    ignored = tuple(name for name in seen if name not in read)
    return TrainingRows(rows, excluded, ignored, origin_of(source, count))


def _require_columns(row: SourceRow, needed: tuple[frozenset[str], ...], accepted: str, where: str) -> None:
    """Refuse a data set whose first row lacks the needed columns."""
    if not isinstance(row.values, Mapping):
        raise DataError(f"{row.id} is not an object with columns", where=where, accepted=accepted)
    if not any(names <= row.values.keys() for names in needed):
        found = ", ".join(map(str, row.values)) or "none"
        raise DataError(f"found columns: {found}", where=where, accepted=accepted)


def _columns(row: SourceRow) -> Mapping[str, Any]:
    if not isinstance(row.values, Mapping):
        raise RequestError("the row is not an object with columns", detail=repr(row.values)[:60])
    return row.values


def _unread(columns: Mapping[str, Any], names: frozenset[str]) -> list[str]:
    """Return the columns that have a value and are not read, and such keys of messages."""
    unread: list[str] = []
    for name, value in columns.items():
        if name not in names:
            unread += [name] if value is not None else []
        elif isinstance(value, list):
            keys = [
                key for message in value if isinstance(message, Mapping) for key in message if message[key]
            ]
            unread += [f"{name}[].{key}" for key in keys if key not in _MESSAGE]
    return unread


def _id(columns: Mapping[str, Any], place: str) -> str:
    """Return the row's own id if it has one, else its place."""
    own = columns.get("id")
    return str(own) if isinstance(own, str | int) and own != "" and not isinstance(own, bool) else place


def _pair(columns: Mapping[str, Any], row_id: str) -> PreferencePair:
    """Return a row's pair. If `p_chosen` is below one half, the sides are swapped."""
    sides = sides_of(columns.get("prompt"), columns.get("chosen"), columns.get("rejected"))
    p = _number(columns, "p_chosen", 1.0, "a number from 0 to 1", 0.0, 1.0)
    weight = _number(columns, "weight", 1.0, "0 or a positive number", 0.0)
    margin = _number(columns, "margin", 0.0, "a number")
    answers = (sides.chosen, sides.rejected)
    finished = (_flag(columns, "finished_chosen"), _flag(columns, "finished_rejected"))
    if p < _EVEN:
        p, margin = 1 - p, 0.0 - margin
        answers, finished = answers[::-1], finished[::-1]
    groups = {name: columns[name] for name in _GROUPS if _names_a_group(columns.get(name))}
    return PreferencePair(row_id, sides.prompt, *answers, p, weight, *finished, margin, groups)


def _answered(columns: Mapping[str, Any], row_id: str) -> AnsweredPrompt:
    if columns.get("messages") is not None:
        return AnsweredPrompt(row_id, *last_answer_of(columns["messages"]))
    return AnsweredPrompt(row_id, *answered_of(columns.get("prompt"), columns.get("completion")))


def _number(
    columns: Mapping[str, Any],
    name: str,
    default: float,
    accepted: str,
    low: float = -math.inf,
    high: float = math.inf,
) -> float:
    """Return a column's number, or the default if it is empty."""
    value = columns.get(name)
    if value is None:
        return default
    try:
        number = number_of(value, name)
    except RequestError:
        number = math.nan
    if not low <= number <= high:
        raise RequestError(f"{name} is not {accepted}", detail=shown(value))
    return number


def _flag(columns: Mapping[str, Any], name: str) -> bool:
    """Return True if an answer ended by itself, that is, unless its column is false."""
    value = columns.get(name)
    if value is not None and not isinstance(value, bool):
        raise RequestError(f"{name} is not true or false", detail=repr(value)[:60])
    return value is not False


def _names_a_group(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
