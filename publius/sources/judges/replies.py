"""Replies with a label, good or not: TRL's unpaired preferences, one row for each reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from core.errors import DataError, RequestError
from core.records import Message
from core.store.jsonl import Unreadable
from publius.sources.answer_rows import ANSWER_ROW, Labels, is_desired, labels_in, turns_in
from publius.sources.column_names import ColumnNames
from publius.sources.pair_rows import principle_of
from publius.sources.rows import DataSource, SourceRow, read_rows, with_split
from training.examples import ExcludedExample

_PEEKED = 25
"""Rows that show which column holds the labels."""
_ACCEPTED = "columns prompt, completion and label (true or false), as in TRL's unpaired preferences"


@dataclass(frozen=True, slots=True)
class LabelledReply:
    """A reply to a prompt, and whether it is a good one."""

    id: str
    prompt: tuple[Message, ...]
    reply: str
    good: bool
    principle: str | None = None
    """Id of the principle that the label is about, from a column `principle`; None without one."""


@dataclass(frozen=True)
class LabelledReplies:
    """The labelled replies of a data set, and the rows that hold none."""

    rows: list[LabelledReply]
    excluded: list[ExcludedExample]


def read_labelled_replies(source: DataSource, names: ColumnNames | None = None) -> LabelledReplies:
    """Return the last reply of each row with its label.

    Args:
        source: the data set to read.
        names: the user's names for our columns.

    Raises:
        ConfigError: if a column of `names` does not exist.
        DataError: if the data set does not exist, or no labelled reply can be read from it.
        MissingExtraError: if the package datasets is needed and not installed.
    """
    names = names or ColumnNames()
    source = with_split(source)
    rows = read_rows(source)
    first = list(islice(rows, _PEEKED))
    names.check_columns(ANSWER_ROW, "labelled replies", [row.values for row in first])
    labels = labels_in(row.values for row in names.applied(first))
    if labels.column is None:
        found = ", ".join(map(str, first[0].values)) if first and isinstance(first[0].values, Mapping) else ""
        raise DataError(
            f"there are no labelled replies; found columns: {found or 'none'}",
            where=source.name,
            accepted=_ACCEPTED,
        )
    replies: list[LabelledReply] = []
    excluded: list[ExcludedExample] = []
    for row in names.applied(chain(first, rows)):
        try:
            replies.append(_labelled(row, labels))
        except RequestError as error:
            excluded.append(ExcludedExample(row.id, error.reason, error.detail))
    if not replies:
        reasons = sorted({example.reason for example in excluded})
        raise DataError(
            f"no row has a labelled reply: {'; '.join(reasons)}", where=source.name, accepted=_ACCEPTED
        )
    return LabelledReplies(replies, excluded)


def _labelled(row: SourceRow, labels: Labels) -> LabelledReply:
    """Return the last reply of a row. Raises RequestError if it has none, or no label."""
    columns: Any = row.values
    if isinstance(columns, Unreadable):
        raise RequestError("the row cannot be read", detail=str(columns))
    if not isinstance(columns, Mapping):
        raise RequestError("the row is not an object with columns", detail=repr(columns)[:60])
    good = is_desired(columns, labels)
    turns, _ = turns_in(columns, labels)
    last = [answered for number, answered in turns.learned if number == turns.total]
    if not last:
        raise turns.skipped[-1]
    return LabelledReply(row.id, last[0].prompt, last[0].answer, good, principle_of(columns))
