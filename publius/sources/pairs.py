"""Pairs of answers in any file, as `publius import labels` and training read them; no verdict is needed.

`publius label --pairs` judges them, and gold questions of the annotation page take their better answer from
them. A row that cannot be used is skipped with its place and the reason. Errors are raised only for problems
of the whole file: one that cannot be read, a mapped column that does not exist, or not one usable pair.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from core.errors import ConfigError, DataError, RequestError
from core.records import Comparison
from core.store.containers import kind_of
from labelers.formats.columns import Columns, UnjudgedColumns
from labelers.formats.datasets.trl import SCORES
from labelers.formats.fields import is_missing
from labelers.formats.opinions import Pair, records_of
from labelers.formats.registry import most_specific
from labelers.formats.repeated import RepeatedAnswers
from labelers.formats.source import LabelSource, Row, RowLabels, Skipped
from prompts.conditions import ConditionSurvey
from publius.sources.column_names import ColumnNames
from publius.sources.empty_columns import without_empty_column
from publius.sources.judges.thumbs import refuse_thumbs, thumbs_in
from publius.sources.label_rows import RowsMeeting, label_rows
from publius.sources.prompt_survey import ColumnSurvey
from publius.sources.prompts import PromptSource
from publius.sources.rows import DataSource, with_split
from publius.sources.texts.reading import IN_OVERRIDES, UNSAID, TextReading, TextsSeen, texts_of_pair
from publius.sources.texts.tools import reason_with_setting, row_without_tools
from publius.sources.unusable import nothing_usable, suggested_pair_columns
from training.examples import ExcludedExample

PAIR_FORMS = (
    "columns chosen and rejected, or response_a and response_b, with prompt unless they are whole "
    "conversations; or a format of labels"
)
_PEEKED = 25
"""Rows used to recognise the format and to check the names of columns."""
_FIRST = 3
"""Skipped rows that an error shows if no pair can be used."""
_LINES = (".jsonl", ".ndjson")
_OF_LABELS = frozenset({"margin", "weight", "p_chosen", *(name for names in SCORES for name in names)})
"""Columns that say how much better an answer is, which has no part in a pair."""


@dataclass(frozen=True, slots=True)
class FilePair:
    """One pair of a row."""

    comparison: Comparison
    better: str | None
    """The answer that the file calls better: `a` or `b`; None for a tie, or without a verdict."""
    first: Literal["a", "b"] = "a"
    """The answer that the file has first."""
    texts: tuple[str, ...] = ()
    """Its texts that people may have written, as they are in the file."""


@dataclass(frozen=True, slots=True)
class PairRow:
    """One row, or several that belong together, with its pairs or the reason why there are none."""

    place: str
    """Place of the first row by the file's name: `pairs.jsonl:17`, or `pairs.csv row 17`."""
    values: Mapping[str, Any]
    """The row as it was read, by the user's columns; empty if it is not an object with columns."""
    read: frozenset[str]
    """The user's columns that were read."""
    pairs: tuple[FilePair, ...]
    skipped: tuple[Skipped, ...] = ()
    """Parts of the row that are not used; without pairs, the first is the reason."""
    rows: int = 1
    tools: int = 0
    """Number of tool turns that were left out."""


@dataclass
class PairSurvey(ColumnSurvey):
    """The content of a file of pairs."""

    rows: int = 0
    pairs: int = 0
    judged: int = 0
    """Pairs with a verdict of the file's own."""
    skipped: list[ExcludedExample] = field(default_factory=list)
    """The first rows that are not used."""
    reasons: Counter[str] = field(default_factory=Counter)
    repeated: RepeatedAnswers = field(default_factory=RepeatedAnswers)
    texts: TextsSeen = field(default_factory=TextsSeen)
    """How many pairs have HTML, or quoted mail, in the file."""
    reading: TextReading = UNSAID
    """How their texts are read."""
    tools: Counter[int] = field(default_factory=Counter)
    """Rows by the number of tool turns that were left out of each."""
    unused: dict[str, None] = field(default_factory=dict)
    """Columns of the file's own labels, which are not used."""

    def add(self, row: PairRow) -> None:
        """Count one row."""
        self.rows += row.rows
        self.pairs += len(row.pairs)
        self.tools.update([row.tools] if row.tools and row.pairs else [])
        cells = row.values.items()
        self.unused |= {n: None for n, cell in cells if n in _OF_LABELS & row.read and not is_missing(cell)}
        self.judged += sum(pair.better is not None for pair in row.pairs)
        for pair in row.pairs:
            found = pair.comparison
            self.repeated.add(found.prompt.id, (found.response_a, found.response_b))
            self.texts.add(pair.texts, self.reading)
        if not row.pairs:
            why = row.skipped[0]
            self.reasons[why.reason] += row.rows
            if len(self.skipped) < _FIRST:
                self.skipped.append(ExcludedExample(row.place, why.reason, why.detail))
        self.count_columns(row.values, row.read if row.pairs else ())


def survey_pairs(source: PromptSource) -> PairSurvey:
    """Return what a file of pairs holds.

    Raises:
        DataError: it cannot be read, or no pair can be used.
        ConfigError: a mapped column, or one that is to be carried, does not exist.
    """
    where, reading = ConditionSurvey(source.where), TextReading(source.html, source.quotes)
    found, first = PairSurvey(keep=source.keep or (), where=where, reading=reading), None
    for row in read_pair_rows(source):
        first = first or row.values
        found.add(row)
    found.require_columns(source.keep or ())
    if not found.pairs:
        hint = PAIR_FORMS + suggested_pair_columns(first)
        raise nothing_usable(
            "there are no pairs", str(source.path), found.skipped, list(found.columns), hint, found.reasons
        )
    return found


def read_pair_rows(source: PromptSource, *, verdicts: bool = False) -> Iterator[PairRow]:
    """Yield the rows of a file of pairs, in order.

    Args:
        source: the file, a data set folder or a Hugging Face id, with the user's names for our columns.
        verdicts: True to read the verdicts of a table of `response_a` and `response_b`, too; a row without
            one is then skipped.

    Raises:
        DataError: the file cannot be read, or its columns hold no pairs.
        ConfigError: a mapped column does not exist.
        MissingExtraError: the package datasets is needed and not installed.
    """
    data = with_split(DataSource(str(source.path), source.subset, _one_split(source)))
    names = ColumnNames(dict(source.columns))
    meeting = RowsMeeting(source.where)
    unusable: deque[PairRow] = deque()
    lost: dict[int, int] = {}
    met = meeting.of(label_rows(data))
    rows = _tool_free(met, unusable, data.path, lost) if source.tools == "drop" else met
    first = list(islice(rows, _PEEKED))
    if (meeting.left or unusable) and not first:
        yield from _left_out(meeting.left, unusable, data.path)
        return
    names.check_columns(None, "label --pairs", [row.values for row in first])  # before a format is missed
    reader = _reader_of(names, first, data, verdicts=verdicts)
    names.check(reader, first)
    again = lambda: names.applied(_again(data, source))  # noqa: E731
    reading = TextReading(source.html, source.quotes)
    seen: dict[int, Mapping[str, Any]] = {}
    applied = without_empty_column(names.applied(_kept(chain(first, rows), seen)), "p_chosen", again)
    for labels in reader.read(applied):
        yield from _left_out(meeting.left, unusable, data.path)
        dropped = max(lost.pop(number, 0) for number in labels.rows)
        together = [seen.pop(number, {}) for number in labels.rows]
        values = together[0]
        labels = replace(labels, skipped=tuple(_with_setting(s, values, source) for s in labels.skipped))
        read = frozenset(values) if reader.columns is None else reader.columns | names.read
        place = _place(data.path, labels.rows[0])
        made = _pair_row(labels, place, values, read, _stem(data.path), reading)
        yield replace(made, tools=dropped) if dropped else made
    yield from _left_out(meeting.left, unusable, data.path)


def _with_setting(skipped: Skipped, values: Mapping[str, Any], source: PromptSource) -> Skipped:
    """Return what is skipped of a row, with the setting that reads its conversation, if there is one."""
    reason, detail = reason_with_setting(
        skipped.reason, skipped.detail, values, source.tools, IN_OVERRIDES.tools
    )
    return skipped._replace(reason=reason, detail=detail)


def _one_split(source: PromptSource) -> str | None:
    """Return the split of pairs. Raises ConfigError for several: pairs have no splits of prompts."""
    if isinstance(source.split, Mapping):
        raise ConfigError(
            "a split for each one of the run is for prompts; pairs are of one split",
            where="prompts.split",
            accepted=f"one of {', '.join(source.split.values())}, or another split of the data set",
        )
    return source.split


def _left_out(left: deque[tuple[Row, str]], unusable: deque[PairRow], path: Path) -> Iterator[PairRow]:
    """Yield the rows left out by conditions or as unusable, each with the reason, until none is left."""
    while left:
        row, why = left.popleft()
        yield PairRow(_place(path, row.number), row.values, frozenset(), (), (Skipped(why),))
    while unusable:
        yield unusable.popleft()


def _again(data: DataSource, source: PromptSource) -> Iterator[Row]:
    rows = RowsMeeting(source.where).of(label_rows(data))
    return _tool_free(rows, None, data.path, {}) if source.tools == "drop" else rows


def _tool_free(
    rows: Iterable[Row], left: deque[PairRow] | None, path: Path, lost: dict[int, int]
) -> Iterator[Row]:
    """Yield the rows without tool turns, whose number is in `lost`; append unusable rows to `left`."""
    for row in rows:
        if not isinstance(row.values, Mapping):
            yield row
            continue
        try:
            values, dropped = row_without_tools(row.values)
        except RequestError as error:
            if left is not None:
                skipped = Skipped(error.reason, error.detail)
                left.append(PairRow(_place(path, row.number), row.values, frozenset(), (), (skipped,)))
            continue
        if dropped:
            lost[row.number] = dropped
        yield replace(row, values=values) if dropped else row


def _reader_of(names: ColumnNames, first: list[Row], data: DataSource, *, verdicts: bool) -> LabelSource:
    """Return the source that reads the pairs: of a plain table, also without a verdict.

    Raises:
        DataError: if none does.
    """
    where = data.name
    if not first:
        raise DataError("the file has no pairs", where=where, accepted=PAIR_FORMS)
    values = [row.values for row in names.applied(first) if isinstance(row.values, Mapping)]
    found = most_specific(values)
    plain = UnjudgedColumns()
    is_plain = found is None or (isinstance(found, Columns) and not verdicts)
    if is_plain and any(map(plain.recognises, values)):
        return plain
    if found is not None:
        return found
    if not values:
        problem = first[0].problem or "the row is not an object with columns"
        raise DataError(problem, where=f"{where}:{first[0].number}", accepted=PAIR_FORMS)
    if thumbs := thumbs_in([row.values for row in first]):
        raise refuse_thumbs((row.values for row in label_rows(data)), thumbs, where)
    own = next(row.values for row in first if isinstance(row.values, Mapping))
    columns = ", ".join(map(str, own)) or "none"
    accepted = PAIR_FORMS + suggested_pair_columns(own)
    raise DataError(f"found columns: {columns}", where=f"{where}:{first[0].number}", accepted=accepted)


def _kept(rows: Iterable[Row], seen: dict[int, Mapping[str, Any]]) -> Iterator[Row]:
    """Yield the rows, and hold the columns of each until its labels are complete."""
    for row in rows:
        if isinstance(row.values, Mapping):
            seen[row.number] = row.values
        yield row


def _pair_row(
    labels: RowLabels,
    place: str,
    values: Mapping[str, Any],
    read: frozenset[str],
    source: str,
    reading: TextReading,
) -> PairRow:
    skipped, pairs = list(labels.skipped), []
    for pair in labels.pairs:
        try:
            pairs.append(_judged(reading.pair(pair), place, source, tuple(texts_of_pair(pair))))
        except RequestError as error:
            skipped.append(Skipped(error.reason, error.detail))
        except ValidationError as error:
            skipped.append(Skipped(error.errors()[0]["msg"].removeprefix("Value error, ")))
    if not pairs and not skipped:
        skipped.append(Skipped("the row has no pair"))
    return PairRow(place, values, read, tuple(pairs), tuple(skipped), len(labels.rows))


def _judged(pair: Pair, place: str, source: str, texts: tuple[str, ...]) -> FilePair:
    """Return the comparison of a pair, with the better answer if all verdicts of the row agree on one."""
    comparison, judgments = records_of(pair, source)
    verdicts = {judgment.verdict for judgment in judgments}
    better = verdicts.pop() if len(verdicts) == 1 else None
    grouped = comparison if comparison.group else comparison.model_copy(update={"group": place})
    first: Literal["a", "b"] = "a" if comparison.response_a == pair.first.response else "b"
    return FilePair(grouped, better if better in ("a", "b") else None, first, texts)


def _place(path: Path, number: int) -> str:
    return f"{path.name}:{number}" if kind_of(path) in _LINES else f"{path.name} row {number}"


def _stem(path: Path) -> str:
    """Return a file's name without its endings, the source of its prompts."""
    return Path(path.name.removesuffix(".gz")).stem
