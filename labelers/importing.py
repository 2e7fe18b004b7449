"""Import the rows of a source as records of a folder; whatever is not used is counted by reason.

Rows are read one at a time and records are written immediately, so neither accumulates in memory. An
annotator's judgments of one comparison in a plain table are all kept, whether they agree or not, each as an
occasion of its own (labelers/occasions.py); only a row that is the same in every cell is a duplicate, and
dropped. Of the tools' own formats, which may export a record twice, and of unnamed annotators, the same
verdict on the same comparison is a duplicate; another one is kept and counted as a conflict.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from pydantic import ValidationError

from core.errors import DataError, RequestError
from core.records import Comparison, Exclusion, Judgment
from core.store.record_store import RecordFile, RecordStore
from core.text.literals import has_decimal_comma
from core.text.names import folded_name
from labelers.crowd.winners import VoteTally
from labelers.formats.close import without_close_pairs
from labelers.formats.fields import NUMBERS
from labelers.formats.opinions import Pair, records_of
from labelers.formats.repeated import RepeatedAnswers
from labelers.formats.source import LabelSource, Row, RowLabels, Skipped
from labelers.formats.stated import Stated
from labelers.formats.status_columns import StatusColumns
from labelers.occasions import Occasions, about_of, contents_of, occasion_of

_STAGE = "import"
FIRST_ROWS = 5
"""How many row numbers are reported per reason; `exclusions.jsonl` has all of them."""
PLAIN_TABLE = "columns"
"""Name of the formats of tables that no tool wrote."""
DUPLICATE_JUDGMENT = "duplicate: same comparison, annotator and verdict"
_CONFLICT = "the same annotator gave another verdict on the same comparison"


@dataclass(slots=True)
class RowOccurrences:
    """How often something occurred, and the first rows where it did."""

    count: int = 0
    rows: list[int] = field(default_factory=list)
    detail: str = ""
    """Detail of the first occurrence."""

    def add(self, row: int, detail: str = "") -> None:
        """Count one more occurrence."""
        self.detail = self.detail or detail
        self.count += 1
        if len(self.rows) < FIRST_ROWS and row not in self.rows:
            self.rows.append(row)


Tallied = dict[str, RowOccurrences]


@dataclass(slots=True)
class Tally:
    """Counts of an import; `rows` is the sum of `kept` and `dropped`."""

    rows: int = 0
    kept: int = 0
    comparisons: int = 0
    judgments: int = 0
    conflicts: RowOccurrences = field(default_factory=RowOccurrences)
    """Judgments that say otherwise than an earlier one by the same annotator."""
    repeats: RowOccurrences = field(default_factory=RowOccurrences)
    """Judgments by an annotator who had judged the comparison before, in another row."""
    dropped: Tallied = field(default_factory=dict)
    """Rows that are not used at all, by reason."""
    skipped: Tallied = field(default_factory=dict)
    """Skipped parts of rows that are otherwise kept: a draft, an answer without a rating."""
    unmet: Tallied = field(default_factory=dict)
    """Rows that do not meet the conditions of the user, by reason."""
    aspects: Tallied = field(default_factory=dict)
    """Aspects that the user does not want, by reason."""
    close: Tallied = field(default_factory=dict)
    """Judgments that `min_margin` excludes, those of dropped rows too."""
    notes: Tallied = field(default_factory=dict)
    """Corrections and oddities in rows that are kept."""
    verdicts: Counter[str] = field(default_factory=Counter)
    won: VoteTally = field(default_factory=VoteTally)
    """The same by where the preferred answers come from."""
    annotators: set[str] = field(default_factory=set)
    """Annotators that the source names."""
    columns: dict[str, None] = field(default_factory=dict)
    """All columns seen, in order."""
    repeated: RepeatedAnswers = field(default_factory=RepeatedAnswers)
    states: StatusColumns = field(default_factory=StatusColumns)
    """What columns say of whether a row counts."""

    @property
    def dropped_rows(self) -> int:
        """Number of rows dropped, also by the user's conditions."""
        return sum(found.count for tallied in (self.dropped, self.unmet) for found in tallied.values())


class LabelImport:
    """One import into a folder.

    Args:
        store: the folder's record store, open for writing.
        name: the file's name, for the exclusions.
        labeler: the name of the judgments' source.
        places: True to store the row of each judgment. Imports of other forms have never done so, and the
            digest of their files is part of the runs that use them.
        min_margin: the smallest score difference to import; None imports every judgment.
        prepare: changes those labels of a row that are wanted, before they are written.
        stated: what the user says of the labels, and the aspects that are wanted.
        left: rows that the user's conditions leave out, with the reasons; it is emptied while rows are read.
    """

    def __init__(
        self,
        store: RecordStore,
        name: str,
        labeler: str,
        *,
        places: bool = False,
        min_margin: float | None = None,
        prepare: Callable[[RowLabels], RowLabels] | None = None,
        stated: Stated | None = None,
        left: deque[tuple[Row, str]] | None = None,
    ) -> None:
        self._stated = stated or Stated()
        self._left = deque[tuple[Row, str]]() if left is None else left
        self._prepare = prepare
        self._places, self._min_margin = places, min_margin
        self._occasions, self._contents = Occasions(), dict[int, int]()
        self._is_plain = False
        self.tally = Tally()
        self._name, self._labeler = name, labeler
        self._comparisons: RecordFile[Comparison] = store.open("comparisons.jsonl", Comparison, "prompt.id")
        self._judgments: RecordFile[Judgment] = store.open("judgments.jsonl", Judgment, "comparison_id")
        self._exclusions: RecordFile[Exclusion] = store.open("exclusions.jsonl", Exclusion, "record_id")

    def run(
        self, source: LabelSource, rows: Iterable[Row], advance: Callable[[], None] = lambda: None
    ) -> Tally:
        """Write every row's records to the folder, and return the tally.

        Args:
            source: reads the rows.
            rows: the rows to import.
            advance: called after each row.

        Raises:
            DataError: if the source does not account for every row.
        """
        self._is_plain = source.name == PLAIN_TABLE
        for labels in source.read(self._seen(rows)):
            wanted = self._far_apart(self._as_stated(labels))
            self._take(wanted if self._prepare is None else self._prepare(wanted))
            for _ in labels.rows:
                advance()
        self._count_left_out()
        answered = self.tally.kept + self.tally.dropped_rows
        if answered != self.tally.rows:
            raise DataError(
                f"the source {source.name!r} returned labels for {answered:,} of {self.tally.rows:,} rows",
                where=self._name,
                accepted="one RowLabels for every row (docs/human-labels.md)",
            )
        return self.tally

    def sync(self) -> None:
        """Sync all files to disk."""
        for file in (self._comparisons, self._judgments, self._exclusions):
            file.sync()

    def _seen(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self._count_left_out()
            self.tally.rows += 1
            if self._is_plain:
                self._contents[row.number] = contents_of(row.values)
            if isinstance(row.values, dict):
                self.tally.states.add(row.values)
                self.tally.columns |= dict.fromkeys(map(str, row.values))
                for name in NUMBERS & row.values.keys():
                    if has_decimal_comma(row.values[name]):
                        said = f"decimal commas in {name}"
                        self.tally.notes.setdefault(said, RowOccurrences()).add(row.number)
            yield row

    def _count_left_out(self) -> None:
        """Count the rows that the user's conditions have left out so far."""
        while self._left:
            row, why = self._left.popleft()
            self.tally.rows += 1
            self._exclude(self.tally.unmet, row.number, Skipped(why))

    def _as_stated(self, labels: RowLabels) -> RowLabels:
        """Return the labels of a row with what the user says of them; unwanted aspects are counted."""
        found = self._stated.applied(labels)
        for part in found.others:
            self._exclude(self.tally.aspects, labels.rows[0], part)
        return found.labels

    def _far_apart(self, labels: RowLabels) -> RowLabels:
        """Return the labels of a row without those that `min_margin` excludes, which are counted."""
        if self._min_margin is None:
            return labels
        found = without_close_pairs(labels, self._min_margin)
        for part in found.close:
            self._exclude(self.tally.close, labels.rows[0], part)
        return found.labels

    def _take(self, labels: RowLabels) -> None:
        row = labels.rows[0]
        skipped = list(labels.skipped)
        contents = tuple(self._contents.pop(number, 0) for number in labels.rows)
        stored = sum(self._stored(pair, row, contents, skipped) for pair in labels.pairs)
        if not stored:
            why = skipped[0] if skipped else Skipped("the row has no judgment")
            for number in labels.rows:
                self._exclude(self.tally.dropped, number, why)
            return
        self.tally.kept += len(labels.rows)
        for part in skipped:
            self._exclude(self.tally.skipped, row, part)
        for note in labels.notes:
            self.tally.notes.setdefault(note, RowOccurrences()).add(row)

    def _stored(self, pair: Pair, row: int, contents: tuple[int, ...], skipped: list[Skipped]) -> bool:
        """Store a pair, append whatever is not used to `skipped`, and return whether anything was stored."""
        try:
            comparison, judgments = records_of(pair, self._labeler)
        except RequestError as error:
            skipped.append(Skipped(error.reason, error.detail))
            return False
        except ValidationError as error:
            skipped.append(Skipped("the prompt is invalid", error.errors()[0]["msg"]))
            return False
        is_new = self._comparisons.append(comparison)
        self.tally.repeated.add(comparison.prompt.id, (comparison.response_a, comparison.response_b))
        self.tally.comparisons += is_new
        earlier = [] if is_new else list(self._judgments.children(comparison.id))
        used = is_new and not judgments
        for given in map(self._placed(row), judgments):
            judgment = self._occasions.placed(given, contents, earlier) if self._is_plain else given
            if not any(_repeats(judgment, other) for other in earlier) and self._judgments.append(judgment):
                self._count(judgment, earlier, row)
                self.tally.won.add(judgment, comparison.origin_a, comparison.origin_b)
                earlier.append(judgment)
                used = True
            else:
                detail = f"by {judgment.annotator or 'an unnamed annotator'}"
                skipped.append(Skipped(DUPLICATE_JUDGMENT, detail))
        return used

    def _placed(self, row: int) -> Callable[[Judgment], Judgment]:
        """Return a function that gives a judgment its row, if rows are wanted."""
        if not self._places:
            return lambda judgment: judgment
        place = {"place": _storable(f"{self._name} row {row}")}
        return lambda judgment: judgment.model_copy(update=place)

    def _count(self, judgment: Judgment, earlier: list[Judgment], row: int) -> None:
        self.tally.judgments += 1
        self.tally.verdicts[judgment.verdict] += 1
        # Unnamed annotators are called "<comparison id>:<number>" (formats/opinions.py) and are not counted.
        named = judgment.annotator is not None and not judgment.annotator.startswith(judgment.comparison_id)
        if judgment.annotator is not None and named:
            self.tally.annotators.add(folded_name(judgment.annotator))
        if judgment.occasion is not None:
            self.tally.repeats.add(row)
        taken_back = {judgment.supersedes, *(other.supersedes for other in earlier)}
        if judgment.id not in taken_back and any(
            _contradicts(judgment, other) for other in earlier if other.id not in taken_back
        ):
            self.tally.conflicts.add(row, _CONFLICT)

    def _exclude(self, tallied: Tallied, row: int, part: Skipped) -> None:
        tallied.setdefault(part.reason, RowOccurrences()).add(row, part.detail)
        detail, again = part.detail, 1
        while not self._exclusions.append(
            Exclusion.of(_STAGE, f"{self._name}:{row}", part.reason, _storable(detail))
        ):
            again += 1  # the same reason and detail twice in one row would have the same id
            detail = f"{part.detail} ({again})".strip()


def _contradicts(one: Judgment, other: Judgment) -> bool:
    return about_of(one) == about_of(other) and one.verdict != other.verdict


def _repeats(one: Judgment, other: Judgment) -> bool:
    """Return whether a judgment repeats one by the same annotator whose name is written in another case.

    If the name is written alike, the ids are the same, and the store sees it.
    """
    is_other_case = one.annotator != other.annotator and None not in (one.annotator, other.annotator)
    same = about_of(one) == about_of(other) and one.verdict == other.verdict
    return is_other_case and same and occasion_of(one) == occasion_of(other) and one.supersedes is None


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
