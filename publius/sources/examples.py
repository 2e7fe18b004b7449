"""Training data from a user's own data set: preferences and answers, in the forms that people have.

A row that cannot be used is excluded, with its place and the reason. Errors are raised only for problems of
the whole data set: a file that is not JSON, or columns from which no example can be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Generic, TypeVar

from core.conversations import MARKS
from core.errors import DataError, RequestError
from core.notices import counted, note
from core.records import Message
from core.store.jsonl import Unreadable
from core.text.messages import CONTENT_KEYS, ROLE_KEYS, is_conversation
from labelers.formats.prompt_columns import asked_in
from labelers.formats.repeated import RepeatedAnswers
from publius.sources.answer_rows import ANSWER_ROW, doubts, has_answers, is_desired, labels_in, turns_in
from publius.sources.column_names import ColumnNames
from publius.sources.empty_columns import without_empty_column
from publius.sources.judges.thumbs import refuse_thumbs, thumbs_in, what_thumbs_are_for
from publius.sources.pair_rows import (
    SIDES,
    KtoPairs,
    LabelledPairs,
    PairReader,
    PlainPairs,
    contradictions,
)
from publius.sources.rows import DataSource, Origin, SourceRow, origin_of, read_rows, with_split
from publius.sources.unusable import nearest_format, nothing_usable, suggested_columns
from training.examples import AnsweredPrompt, ExcludedExample, PreferencePair

__all__ = ["DataSource", "TrainingRows", "read_answers", "read_preferences"]

_Example = TypeVar("_Example", bound=AnsweredPrompt | PreferencePair)
_PEEKED = 25
"""Rows used to recognise the format and to check the names of columns."""
_MARGIN = "margin"
_MESSAGE = frozenset({*ROLE_KEYS, *CONTENT_KEYS, *MARKS})
_PREFERENCES = (
    "columns chosen and rejected, with prompt unless they are whole conversations; or a format of labels"
)
_PAIR_TARGETS, _ANSWER_TARGETS = ("prompt", "chosen", "rejected"), ("prompt", "completion")
_ANSWERS = "a column messages, or columns prompt and completion"


@dataclass(frozen=True)
class TrainingRows(Generic[_Example]):
    """The training examples of a data set."""

    rows: list[_Example]
    excluded: list[ExcludedExample]
    ignored_columns: tuple[str, ...]
    """Columns that are not used, and keys of messages as `chosen[].name`."""
    origin: Origin
    """The data that was read."""
    notes: tuple[str, ...] = ()
    """How rows were read where that is not plain, and doubts about the labels, each with a count."""
    openings: Mapping[str, tuple[Message, ...]] = field(default_factory=dict)
    """First prompt of the conversation that an example is a turn of, by the example's id."""
    columns: tuple[str, ...] = ()
    """All columns seen."""
    hint: str = ""
    """What would read the rows if none can be used."""

    def report(self, title: str = "data", *, uses_margin: bool = True) -> None:
        """Print where the rows are from, the columns that are not used, and how rows were read.

        Args:
            title: what the rows are for.
            uses_margin: True if a column `margin` has a part in what is done with the rows.
        """
        note(f"{title}: {self.origin}")
        ignored = self.unused_columns(uses_margin=uses_margin)
        if ignored:
            note(f"ignored columns: {', '.join(ignored)}")
        if _MARGIN in ignored:
            note("margin: only publius train reward uses it, as a lead that the chosen score is to have")
        for said in self.notes:
            note(said)

    def unused_columns(self, *, uses_margin: bool) -> tuple[str, ...]:
        """Return the ignored columns, with `margin` if rows have one and nothing uses it."""
        has_margin = any(getattr(row, _MARGIN, 0.0) for row in self.rows)
        return (*self.ignored_columns, *([_MARGIN] if has_margin and not uses_margin else []))

    @property
    def repeated(self) -> str | None:
        """Which texts are an answer to many of the prompts, in words; None if there is none."""
        found = RepeatedAnswers()
        for row in self.rows:
            found.add(row.prompt, row.answers)
        return found.line()

    def require(self, what: str) -> None:
        """Raise a DataError with reasons, columns and a way to read them if there are no rows."""
        if not self.rows:
            text = f"there are no {what}"
            raise nothing_usable(text, self.origin.source.name, self.excluded, self.columns, self.hint)


@dataclass
class _Reading:
    """Columns seen and read, and what happened to the rows, collected while they are read."""

    mapped: frozenset[str] = frozenset()
    """Our names that the user mapped: they are no columns of the data set."""
    seen: dict[str, None] = field(default_factory=dict)
    columns: dict[str, None] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    excluded: list[ExcludedExample] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    count: int = 0

    def columns_of(self, row: SourceRow) -> Mapping[str, Any]:
        """Return the columns of a row. Raises RequestError if it has none."""
        self.count += 1
        if isinstance(row.values, Unreadable):
            raise RequestError("the row cannot be read", detail=str(row.values))
        if not isinstance(row.values, Mapping):
            raise RequestError("the row is not an object with columns", detail=repr(row.values)[:60])
        self.columns |= dict.fromkeys(name for name in map(str, row.values) if name not in self.mapped)
        return row.values

    def note_columns(self, columns: Mapping[str, Any], names: frozenset[str]) -> None:
        """Note the columns of a row that are read, and those that have a value and are not."""
        self.read |= names
        self.seen |= dict.fromkeys(_unread(columns, names))

    def finished(
        self,
        rows: list[_Example],
        source: DataSource,
        notes: tuple[str, ...],
        openings: Mapping[str, tuple[Message, ...]] | None = None,
        hint: str = "",
    ) -> TrainingRows[_Example]:
        """Return the rows with what was collected."""
        said = (f"{counted(count, 'row')}: {what}" for what, count in self.notes.items())
        return TrainingRows(
            rows,
            self.excluded,
            ignored_columns=tuple(name for name in self.seen if name not in self.read),
            origin=origin_of(source, self.count),
            notes=(*said, *notes),
            openings=openings or {},
            columns=tuple(self.columns),
            hint=hint,
        )


def read_preferences(source: DataSource, names: ColumnNames | None = None) -> TrainingRows[PreferencePair]:
    """Return the preferences of a data set, each with `p_chosen` of one half or more.

    Read are `chosen` and `rejected` in all their forms; KTO's `completion` and `label`, as pairs of a good
    and a bad answer to one prompt; and every format of labels that `publius import labels` recognises.

    Args:
        source: the data set to read.
        names: the user's names for our columns.

    Raises:
        ConfigError: if a column of `names` does not exist.
        DataError: if the data set does not exist, or no preference can be read from its columns.
        MissingExtraError: if the package datasets is needed and not installed.
    """
    names = names or ColumnNames()
    source, first, rows = _opened(source, names, _PREFERENCES)
    reader = _pair_reader(first, source, names)
    reading, found = _Reading(frozenset(names.columns)), list[PreferencePair]()
    again = lambda: names.applied(read_rows(source))  # noqa: E731
    for row in without_empty_column(rows, "p_chosen", again):
        try:
            columns = reading.columns_of(row)
            pairs = reader.pairs_of(columns, _id(columns, row.id), reading.notes)
            reading.note_columns(columns, pairs.columns | names.read)
            found += pairs.pairs
            reading.excluded += [ExcludedExample(row.id, e.reason, e.detail) for e in pairs.excluded]
        except RequestError as error:
            reading.excluded.append(ExcludedExample(row.id, error.reason, error.detail))
    last = reader.rest()
    found += last.pairs
    reading.excluded += last.left
    hint = _PREFERENCES + suggested_columns(first[0].values, _PAIR_TARGETS)
    if isinstance(reader, KtoPairs) and (thumbs := thumbs_in([row.values for row in names.applied(first)])):
        hint = what_thumbs_are_for(source.name, thumbs, reader)
    return reading.finished(found, source, (*reader.notes, *contradictions(found)), hint=hint)


def read_answers(source: DataSource, names: ColumnNames | None = None) -> TrainingRows[AnsweredPrompt]:
    """Return the prompts of a data set, each with the answer to learn.

    Every assistant turn of a conversation is an example, with its history as the prompt; the turns of the row
    `file:3` are `file:3.1`, `file:3.2` and so on. Answers that a column `label` calls bad are excluded.

    Args:
        source: the data set to read.
        names: the user's names for our columns.

    Raises:
        ConfigError: if a column of `names` does not exist.
        DataError: if the data set does not exist, or has neither `messages` nor `prompt` and `completion`.
        MissingExtraError: if the package datasets is needed and not installed.
    """
    names = names or ColumnNames()
    source, first, rows = _opened(source, names, _ANSWERS)
    names.check_columns(ANSWER_ROW, "training on answers", [row.values for row in first])
    applied = [row.values for row in names.applied(first)]
    if isinstance(applied[0], Mapping) and not has_answers(applied[0]):
        raise _unknown(source, first, _ANSWERS, suggested_columns(applied[0], _ANSWER_TARGETS))
    reading, found = _Reading(frozenset(names.columns)), list[AnsweredPrompt]()
    openings: dict[str, tuple[Message, ...]] = {}
    talks, several, labels = 0, 0, labels_in(applied)
    for row in rows:
        try:
            columns = reading.columns_of(row)
            turns, read = turns_in(columns, labels)
            reading.note_columns(columns, read | names.read)
            own = _id(columns, row.id)
            if not is_desired(columns, labels):
                raise RequestError("the label says that the answer is not a good one")
        except RequestError as error:
            reading.excluded.append(ExcludedExample(row.id, error.reason, error.detail))
            continue
        if turns.learned:
            reading.notes.update(f"learned although {name} is {columns[name]!r}" for name in doubts(columns))
        talks += turns.total > 1
        several += len(turns.learned) if turns.total > 1 else 0
        reading.excluded += [ExcludedExample(row.id, e.reason, e.detail) for e in turns.skipped]
        for number, answered in turns.learned:
            name = f"{own}.{number}" if turns.total > 1 else own
            example = AnsweredPrompt(name, *answered, as_text=_is_text(columns))
            found.append(example)
            if turns.total > 1:
                openings[example.id] = turns.learned[0][1].prompt
    learned = f"{counted(several, 'example')}, one for each turn"
    said = (f"{counted(talks, 'conversation')} with several assistant turns: {learned}",) if talks else ()
    hint = _ANSWERS + suggested_columns(first[0].values, _ANSWER_TARGETS)
    return reading.finished(found, source, said, openings, hint)


def _opened(
    source: DataSource, names: ColumnNames, accepted: str
) -> tuple[DataSource, list[SourceRow], Iterator[SourceRow]]:
    """Return the source with its split, its first rows, and all rows with the user's names applied.

    Raises:
        DataError: if the data set is empty, or its first row has no columns.
    """
    source = with_split(source)
    rows = read_rows(source)
    first = list(islice(rows, _PEEKED))
    if not first:
        raise DataError("the data set is empty", where=source.name, accepted=accepted)
    usable = [row for row in first if isinstance(row.values, Mapping)]
    if not usable:
        raise DataError(f"{first[0].id} is not an object with columns", where=source.name, accepted=accepted)
    return source, usable, names.applied(chain(first, rows))


def _pair_reader(first: list[SourceRow], source: DataSource, names: ColumnNames) -> PairReader:
    """Return the reader of a data set's preferences.

    Raises:
        ConfigError: if a column of `names` does not exist.
        DataError: if there is none.
    """
    values = [row.values for row in names.applied(first) if isinstance(row.values, Mapping)]
    known: PairReader | None = PlainPairs() if values[0].keys() >= SIDES else None
    labels = labels_in(values)
    if known is None and labels.column is not None and any(map(KtoPairs.reads, values)):
        known = KtoPairs(labels)
    reader = LabelledPairs.of(values, known)
    if reader is None:
        if thumbs := thumbs_in([row.values for row in first]):
            raise refuse_thumbs((row.values for row in read_rows(source)), thumbs, source.name)
        suggestion = suggested_columns(values[0], _PAIR_TARGETS)
        raise _unknown(source, first, _PREFERENCES, suggestion)
    names.check_columns(reader.columns, "training on preferences", [row.values for row in first])
    return reader


def _unknown(source: DataSource, first: list[SourceRow], accepted: str, suggestion: str) -> DataError:
    """Return the error about columns from which nothing can be read."""
    names = list(map(str, first[0].values))
    near = nearest_format(names) if accepted == _PREFERENCES else ""
    found = ", ".join(names) or "none"
    return DataError(f"found columns: {found}", where=source.name, accepted=accepted + near + suggestion)


def _is_text(columns: Mapping[str, Any]) -> bool:
    """Return True if a row gives its prompt as text, which may hold a rendered chat template."""
    try:
        return isinstance(asked_in(columns).value, str)
    except RequestError:  # of columns beside a conversation
        return False


def _unread(columns: Mapping[str, Any], names: frozenset[str]) -> list[str]:
    """Return the columns that have a value and are not read, and such keys of messages."""
    unread: list[str] = []
    for name, value in columns.items():
        if name not in names:
            unread += [name] if value is not None and value != [] else []
        elif isinstance(value, list):
            talk = [message for message in value if isinstance(message, Mapping)]
            is_talk = is_conversation(talk)
            keys = [key for message in talk for key in message if message[key]] if is_talk else []
            unread += [f"{name}[].{key}" for key in keys if key not in _MESSAGE]
    return unread


def _id(columns: Mapping[str, Any], place: str) -> str:
    """Return the row's own id if it has one, else its place."""
    own = columns.get("id")
    return str(own) if isinstance(own, str | int) and own != "" and not isinstance(own, bool) else place
