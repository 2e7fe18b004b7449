"""`publius import labels`: convert a file of human labels to a folder of comparisons and judgments.

The folder appears only when it is complete: records are written to a hidden folder beside it, which is
renamed at the end. Its `import.json` summarises the import and its source. Repeating the same import does
nothing; another import into the same folder is refused.
"""

from __future__ import annotations

import itertools
import json
import math
import shlex
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from core.digests import digest, file_digest
from core.errors import ConfigError, DataError, Problem, RunStateError, shell_command
from core.notices import counted, note
from core.progress import progress
from core.store.files import os_errors, require_empty, sync_folder, write_atomic
from core.store.record_store import RecordStore
from core.terminal.interrupts import all_or_nothing
from labelers.crowd.votes import MACHINES
from labelers.formats.columns import NAMES, TARGETS
from labelers.formats.fields import ACCEPTED_VERDICTS, VERDICT_NOT_RECOGNISED
from labelers.formats.people_columns import PeopleColumns
from labelers.formats.registry import (
    AUTO_SOURCE,
    Recognised,
    is_built_in,
    most_specific,
    recognise,
    source_errors,
    source_named,
)
from labelers.formats.source import LabelSource, Row, RowLabels
from labelers.formats.stated import ANOTHER_ASPECT, NO_ASPECT, NO_WANTED_ASPECT, Stated
from labelers.formats.status_columns import UnwantedRows
from labelers.formats.tools.mturk import STATUS_COLUMNS, MechanicalTurk, questions_in
from labelers.formats.tools.sheets import (
    SHEET_VERDICTS,
    BlindSheet,
    PeoplesPreferences,
    PreferenceTable,
)
from labelers.importing import (
    DUPLICATE_JUDGMENT,
    PLAIN_TABLE,
    LabelImport,
    RowOccurrences,
    Tallied,
    Tally,
)
from labelers.occasions import case_columns
from labelers.page.tasks import HUMAN_LABELER
from prompts.conditions import Conditions, condition_columns
from publius.labels.annotator_columns import OURS, columns_of_names, columns_to_import, with_annotators
from publius.labels.by_person import people_in_words, with_people
from publius.labels.joining import JoinedVotes, PairsToJoin, join_with, refuse_without_texts, vote_names
from publius.labels.ratings.pairing import rated_pairs, ratings_in, refuse_single_ratings
from publius.runs.pairs.table_columns import is_plain_table
from publius.sources.beside.labels import tags_beside, with_tags_beside
from publius.sources.beside.prompts import PromptsBeside
from publius.sources.column_names import ColumnNames, top_column
from publius.sources.empty_columns import without_empty_column
from publius.sources.judges.thumbs import refuse_thumbs, thumbs_in
from publius.sources.label_rows import ACCEPTED, RowsMeeting, label_rows
from publius.sources.people.folders import is_label_folder
from publius.sources.rows import DataSource, with_split
from publius.sources.texts.reading import IN_COMMAND, UNSAID, TextReading, TextsSeen, texts_of_pair
from publius.sources.unusable import nearest_format, nothing_usable
from training.examples import ExcludedExample

SUMMARY = "import.json"
_FILES = (SUMMARY, "comparisons.jsonl", "judgments.jsonl", "exclusions.jsonl")
_PEEKED = 25
"""Rows used to recognise the format and to check the names of columns."""
_ANY_TABLE = PLAIN_TABLE
"""The format of tables that no tool wrote; as a name it says nothing."""
_OUR_TABLES = (BlindSheet.name, PreferenceTable.name)
"""Formats of people whom Publius asked: a person has one name there and on the annotation page."""
_SHOWN_PROBLEMS = 10
"""Maximum number of reasons in the error of `--strict`."""
_Summary = dict[str, Any]


@dataclass(frozen=True)
class LabelsRequest:
    """A request to import labels."""

    source: DataSource
    to: Path
    format: str = AUTO_SOURCE
    names: ColumnNames = field(default_factory=ColumnNames)
    labeler: str | None = None
    """Name of the judgments' source. If None, the format's name; for a table in no tool's format, the name of
    the file without its ending; for our own sheets, `human`, as on the annotation page."""
    strict: bool = False
    """True to refuse the import if anything at all would be skipped."""
    force: bool = False
    """True to replace another import that the folder holds."""
    pairs: PairsToJoin | None = None
    """The file with the texts, if the source has votes only."""
    min_margin: float | None = None
    """The smallest difference of two scores, on their own scale, of which a judgment is imported."""
    reading: TextReading = UNSAID
    """How prompts and answers are read: HTML, quoted mail and signatures."""
    where: Conditions = field(default_factory=dict)
    """Values that columns of a row must have for it to be imported."""
    stated: Stated = field(default_factory=Stated)
    """What the user says of the labels, and the aspects that are wanted."""
    prompts: Path | None = None
    """A file of prompts, whose tags judged prompts with the same words get."""


@dataclass(frozen=True)
class ImportedLabels:
    """Summary of an import: its source, what was imported, and what was skipped, with reasons."""

    summary: _Summary
    """As in `import.json`; has the key `already` if the folder already held this import."""

    def as_json(self) -> _Summary:
        """Return the result as JSON-able values."""
        return self.summary


def import_labels(request: LabelsRequest) -> ImportedLabels:
    """Import labels into the folder, and return the summary.

    Raises:
        ConfigError: if the format is unknown, a column does not exist, or the labeler's name is reserved.
        DataError: if the file cannot be read or its format is not recognised, if its labels are the machines'
            own, or if `strict` is set and something would be skipped.
        RunStateError: if the folder holds something else.
    """
    _refuse_options(request)
    source = with_split(request.source)
    _refuse_label_folder(source)
    beside, asked = None, request.names.columns
    if request.prompts is not None:
        beside, names = tags_beside(request.prompts, request.names, request.reading)
        request = replace(request, names=names)
    meeting = RowsMeeting(request.where, "--where")
    rows = meeting.of(label_rows(source))
    first = list(itertools.islice(rows, _PEEKED))
    if not first:
        meeting.check()
        raise DataError("no rows found", where=source.name, accepted=ACCEPTED)
    _refuse_unreadable(source, first)
    rated = _rated(request, source, first, meeting)
    if rated is None:
        _refuse_thumbs(request, source, first)
    else:
        request, rows = replace(request, format=_ANY_TABLE), iter(rated)
        first = list(itertools.islice(rows, _PEEKED))
    if (
        request.pairs is None and request.format == AUTO_SOURCE
    ):  # before a format is missed because of a misspelt name
        request.names.check_columns(None, "import labels", [row.values for row in first])
    request = _with_people(request, first)
    found = _as_asked(_format_of(request, first), request, first)
    if rated is not None:
        found = found._replace(why="ratings of single answers, paired with others to the same prompt")
    if request.pairs is not None:
        request = replace(request, names=vote_names(request.names))
    request.names.check(found.source, first)
    key = found.source.key if isinstance(found.source, JoinedVotes) else None
    request = replace(request, names=with_annotators(request.names, found.source, first, key))
    _refuse_machine_labels(found.source, request, first)
    labeler = request.labeler or _name_of(source, found.source.name)
    identity = _identity(request, source, found.source.name, labeler, asked)
    # Earlier versions named the source of every table after the format.
    earlier = _identity(request, source, found.source.name, request.labeler or found.source.name, asked)
    done = _done_before(request, {identity, earlier})
    if done is None:
        every = request.names.applied(itertools.chain(first, rows))
        raw = RowsMeeting(request.where).of(label_rows(source))  # read only if it is needed
        again = lambda: request.names.applied(raw if rated is None else iter(rated))  # noqa: E731
        with all_or_nothing():
            rows = without_empty_column(every, "p_chosen", again)
            done = _written(request, found, labeler, rows, identity, first, meeting, beside)
    elif request.strict:
        _refuse_losses(done, request)
    return ImportedLabels(done)


def _refuse_options(request: LabelsRequest) -> None:
    """Raise a ConfigError for an option that no file can be imported with."""
    if request.labeler in MACHINES:
        what = f"{request.labeler!r} is reserved for automatic labels"
        raise ConfigError(what, where="--labeler", accepted="the name of a human source")
    if request.stated.model is not None and not request.stated.model.strip():
        raise ConfigError("found no name", where="--model", accepted="the name of the model that rated")
    least = request.min_margin
    if least is not None and not 0 < least < math.inf:
        accepted = "a number above 0, on the scale of the scores"
        raise ConfigError(f"found {least:g}", where="--min-margin", accepted=accepted)


def _as_asked(found: Recognised, request: LabelsRequest, first: Sequence[Row]) -> Recognised:
    """Return the source; that of crowd results with the user's words for the verdicts.

    Where the user says which assignments count, it leaves out no others.

    Raises:
        ConfigError: if the words are for one of several questions, or of none.
    """
    if not isinstance(found.source, MechanicalTurk):
        return found
    leaves_out = not {*condition_columns(request.where)} & {*STATUS_COLUMNS}
    rows = [row.values for row in request.names.applied(first) if isinstance(row.values, Mapping)]
    words = {} if any("verdict" in row for row in rows) else request.names.verdicts
    if words and len(asked := questions_in(rows)) != 1:
        columns = ", ".join(column or f"Answer.{name}.*" for name, column in asked.items())
        what = f"which column has the verdicts is not known: {columns or 'no Answer.* is left'}"
        raise ConfigError(what, where="--verdicts", accepted="--columns verdict=NAME beside it")
    return found._replace(source=MechanicalTurk(leaves_out=leaves_out, verdicts=words))


def _rated(
    request: LabelsRequest, source: DataSource, first: Sequence[Row], meeting: RowsMeeting
) -> list[Row] | None:
    """Return rows of pairs if the table has ratings of single answers; None if it has not.

    Raises:
        DataError: no pair can be made of the ratings, or --format names another format.
    """
    if request.names.columns or request.names.people or request.pairs is not None:
        return None
    rows = [row.values for row in first if isinstance(row.values, Mapping)]
    if request.format not in (AUTO_SOURCE, _ANY_TABLE):
        given = source_named(request.format)
        if is_built_in(given) and not any(map(given.recognises, rows)):
            refuse_single_ratings(first, source.name, request.format)
        return None
    columns = None if most_specific(rows) is not None else ratings_in(first)
    return None if columns is None else rated_pairs(meeting.of(label_rows(source)), columns, source.name)


def _refuse_thumbs(request: LabelsRequest, source: DataSource, first: Sequence[Row]) -> None:
    """Raise a DataError, with what they are for, if the rows are thumbs on single answers, and not pairs."""
    thumbs = thumbs_in([row.values for row in first])
    if thumbs is None or request.pairs is not None:
        return
    applied = [row.values for row in request.names.applied(first) if isinstance(row.values, Mapping)]
    if request.format == AUTO_SOURCE:
        is_read = most_specific(applied) is not None or set(NAMES) <= request.names.columns.keys()
    else:
        given = source_named(request.format)
        is_read = not is_built_in(given) or any(map(given.recognises, applied))
    if not is_read:
        raise refuse_thumbs((row.values for row in label_rows(source)), thumbs, source.name)


def _with_people(request: LabelsRequest, first: list[Row]) -> LabelsRequest:
    """Return the request with the columns of people's verdicts, if the table has several."""
    if request.format not in (AUTO_SOURCE, _ANY_TABLE):
        return request
    applied = [row.values for row in request.names.applied(first) if isinstance(row.values, Mapping)]
    if not request.names.people:
        if any(name in row for row in applied for name in ("verdict", "rating_a", "p_a")):
            return request
        if request.pairs is None and request.format == AUTO_SOURCE and most_specific(applied) is not None:
            return request
    found = with_people(request.names, first, request.source.name, joined=request.pairs is not None)
    return replace(request, names=found)


def _name_of(source: DataSource, format: str) -> str:
    """Return the name of the judgments' source, by which tables and mixes call it."""
    if format in _OUR_TABLES:
        return HUMAN_LABELER
    if format != _ANY_TABLE:
        return format
    name = "-".join(source.path.name.partition(".")[0].split())
    return format if not name or name in MACHINES else name


def _refuse_label_folder(source: DataSource) -> None:
    """Raise a DataError for a folder that an import or the annotation page wrote."""
    if is_label_folder(source.path):
        raise DataError(
            "it is a folder of labels already",
            where=source.name,
            accepted="the file that it was imported from; every command takes the folder itself",
        )


def _refuse_unreadable(source: DataSource, first: list[Row]) -> None:
    """Raise a DataError with the first problem if none of the first rows could be read."""
    problem = first[0].problem
    if problem is not None and all(row.problem is not None for row in first):
        what = f"none of the first {len(first)} rows can be read" if len(first) > 1 else "it cannot be read"
        raise DataError(
            f"{what}: {problem}",
            where=f"{source.name}:{first[0].number}",
            accepted=ACCEPTED,
        )


def _format_of(request: LabelsRequest, first: list[Row]) -> Recognised:
    if request.pairs is not None:
        return _joined(request, request.pairs, first)
    if request.names.people:
        if request.format not in (AUTO_SOURCE, _ANY_TABLE):
            what = f"several columns of verdicts are a plain table, not {request.format!r}"
            raise ConfigError(what, where="--format", accepted=f"{_ANY_TABLE}, or no --format")
        _refuse_people_of_batch(request, first)
        return Recognised(PeopleColumns(), people_in_words(request.names))
    if request.format == _ANY_TABLE:
        refuse_without_texts(request.names, first, request.source.name)
    if request.format != AUTO_SOURCE:
        return Recognised(source_named(request.format), "given by --format")
    try:
        found = recognise(list(request.names.applied(first)), request.source.name)
    except DataError as error:
        refuse_without_texts(request.names, first, request.source.name)
        (problem,) = error.problems
        _refuse_plain_table(request, first)
        row = next((row.values for row in first if isinstance(row.values, Mapping)), {})
        more = nearest_format(list(map(str, row))) + columns_to_import(first)
        raise DataError(problem.what, where=problem.where, accepted=f"{problem.accepted}{more}") from error
    if _has_peoples_labels(found.source, request, first):
        return Recognised(PeoplesPreferences(), "a table of preferences whose labels are people's")
    if _maps_any_table(request.names, found.source):
        return Recognised(source_named(_ANY_TABLE), "--columns names both answers")
    return found


def _refuse_people_of_batch(request: LabelsRequest, first: list[Row]) -> None:
    """Raise a ConfigError for columns of several people in crowd results: a row is one worker's."""
    rows = [row.values for row in first if isinstance(row.values, Mapping)]
    if request.format == AUTO_SOURCE and any(map(MechanicalTurk().recognises, rows)):
        what = f"{len(request.names.people)} columns of verdicts, but a row is the assignment of one worker"
        accepted = "one column for verdict; without any, every question of Answer.* is read"
        raise ConfigError(what, where="--columns", accepted=accepted)


def _refuse_plain_table(request: LabelsRequest, first: list[Row]) -> None:
    """Raise a DataError for our own table for readers: the labels in it are the machines', and no id is."""
    columns = {str(name) for row in first if isinstance(row.values, Mapping) for name in row.values}
    if is_plain_table(columns):
        raise DataError(
            "a table of publius show --to for readers: its labels are the machines', and it has no ids",
            where=request.source.name,
            accepted="a table with --columns all and a column better that a person filled in, or a sheet",
            run="publius select RUN --budget N --sheet FILE.csv",
        )


def _joined(request: LabelsRequest, pairs: PairsToJoin, first: list[Row]) -> Recognised:
    """Return the source of votes that are joined with a file of pairs."""
    if request.format not in (AUTO_SOURCE, _ANY_TABLE):
        what = f"votes on pairs of another file are a plain table, not {request.format!r}"
        raise ConfigError(what, where="--format", accepted=f"{_ANY_TABLE}, or no --format")
    found = join_with(pairs, request.names, first, request.source.name)
    return Recognised(
        found, f"joined by {found.key} with {counted(len(found.pairs), 'pair')} of {pairs.path}"
    )


def _maps_any_table(names: ColumnNames, found: LabelSource) -> bool:
    """Return whether the user maps both answers, in a table that looks like another format without these."""
    mapped = names.columns.keys()
    return found.columns is not None and set(NAMES) <= mapped <= TARGETS and not mapped <= found.columns


def _has_peoples_labels(found: LabelSource, request: LabelsRequest, first: list[Row]) -> bool:
    """Return whether rows of our own table of preferences have labels of people alone, and no decision."""
    if not isinstance(found, PreferenceTable):
        return False
    rows = [row.values for row in request.names.applied(first) if isinstance(row.values, Mapping)]
    return any(map(found.is_peoples, rows)) and not any(map(found.has_decisions, rows))


def _refuse_machine_labels(found: LabelSource, request: LabelsRequest, first: list[Row]) -> None:
    """Raise a DataError for our own table of preferences if no person has added a decision to it."""
    if not isinstance(found, PreferenceTable):
        return
    rows = (row.values for row in request.names.applied(first) if isinstance(row.values, Mapping))
    if not any(map(found.has_decisions, rows)):
        raise DataError(
            "the labels in this table are the machines' (publius show --to, or preferences.jsonl)",
            where=request.source.name,
            accepted="a column better that a person filled in (chosen, rejected, tie, both_bad or skip) and "
            "their name in who, or --columns better=NAME; --format trl imports the machines' labels",
            run="publius select RUN --budget N --sheet FILE.csv",
        )


def _identity(
    request: LabelsRequest, source: DataSource, format: str, labeler: str, asked: Mapping[str, str]
) -> str:
    """Return the digest of everything that determines the contents of the folder.

    Args:
        request: the request.
        source: the file of labels.
        format: name of its format.
        labeler: name of the judgments' source.
        asked: the columns as the user named them, also those of the file of prompts.
    """
    names: list[object] = [dict(request.names.columns), dict(request.names.verdicts)]
    if request.names.people:
        names.append(list(request.names.people))
    if request.pairs is not None:
        pairs = DataSource(str(request.pairs.path))
        names += [_content_of(pairs), request.pairs.on]
    if request.min_margin is not None:
        names.append(["min_margin", request.min_margin])
    if request.reading.html == "text":
        names.append(["html", "text"])
    if request.reading.quotes == "drop":
        names.append(["quotes", "drop"])
    if request.where:
        names.append(["where", dict(request.where)])
    if request.stated != Stated():
        stated = request.stated
        names.append(["stated", stated.shown_first, stated.model, list(stated.aspects)])
    if request.prompts is not None:
        names.append(["prompts", _content_of(DataSource(str(request.prompts))), dict(asked)])
    content = _content_of(source)
    return digest("import", content, source.subset, source.split, format, labeler, names)


def _content_of(source: DataSource) -> object:
    """Return what identifies the content of a source: digests of its files, or a data set's name."""
    path = source.path
    with os_errors(path):
        content: object = [source.name, source.subset]
        if path.is_file():
            content = file_digest(path)
        elif path.is_dir():
            files = sorted(found for found in path.rglob("*") if found.is_file())
            content = [(str(found.relative_to(path)), file_digest(found)) for found in files]
    return content


def _done_before(request: LabelsRequest, identities: Collection[str]) -> _Summary | None:
    """Return the summary of this import if the folder holds it; None if the folder is to be written.

    Raises:
        RunStateError: if the folder holds anything else, except another import that is to be replaced.
    """
    to = request.to
    with os_errors(to):
        try:
            summary = json.loads((to / SUMMARY).read_bytes())
            same = summary.pop("identity") in identities
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, AttributeError):
            same, summary = False, None
    if same and isinstance(summary, dict):
        return summary | {"folder": str(to), "already": True}
    accepted = "a new or empty folder for --to, one for each import"
    if isinstance(summary, dict):
        if request.force and _is_an_import(to):
            return None
        replaced = accepted if request.force else f"{accepted}; or --force to replace it"
        raise RunStateError("the folder holds another import", where=str(to), accepted=replaced)
    require_empty(to, accepted)
    return None


def _is_an_import(folder: Path) -> bool:
    """Return whether a folder holds the files of an import and nothing else, so that it can be replaced."""
    return {path.name for path in folder.iterdir()} <= {*_FILES, "index.sqlite", ".lock"}


def _written(
    request: LabelsRequest,
    found: Recognised,
    labeler: str,
    rows: Iterator[Row],
    identity: str,
    first: Sequence[Row],
    meeting: RowsMeeting,
    beside: PromptsBeside | None,
) -> _Summary:
    """Write the records to a hidden folder, rename it when it is complete, and return the summary."""
    texts = _TextsOfLabels(request.reading)

    def prepared(labels: RowLabels) -> RowLabels:
        read = texts.prepared(labels)
        return read if beside is None else with_tags_beside(read, beside)

    staging = request.to.with_name(f".{request.to.name}.importing")
    _clear(staging)
    try:
        with RecordStore(staging) as store, progress("import", None) as task:
            run = LabelImport(
                store,
                request.source.path.name,
                labeler,
                places=request.pairs is not None,
                min_margin=request.min_margin,
                prepare=prepared,
                stated=request.stated,
                left=meeting.left,
            )
            tally = _run(run, found.source, rows, task.advance)
            run.sync()
        meeting.check()
        summary = _summary(tally, request, found, labeler)
        takes_names = found.source.columns is None or OURS in found.source.columns
        likely = columns_of_names(first, summary["passed_over"]) if takes_names else []
        if likely and not tally.annotators:
            summary["perhaps_annotators"] = likely
        if not tally.kept:
            raise _nothing_kept(tally, request, found)
        if request.strict:
            _refuse_losses(summary, request)
        if beside is not None:
            beside.require_joined(request.source.path.name, "pairs")
            summary["prompts"] = beside.as_json()
        if request.source.path.is_file():
            summary["digest"] = file_digest(request.source.path)
        write_atomic(staging / SUMMARY, json.dumps({"identity": identity, **summary}, indent=2) + "\n")
        with os_errors(request.to):
            (staging / ".lock").unlink(missing_ok=True)
            _put_in_place(staging, request.to)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    texts.tell()
    return summary


@dataclass
class _TextsOfLabels:
    """Counts the pairs with HTML or quoted mail, and reads them as asked for."""

    reading: TextReading
    seen: TextsSeen = field(default_factory=TextsSeen)
    exported: int = 0
    """Pairs of records that Publius exported, which stay as they are."""

    def prepared(self, labels: RowLabels) -> RowLabels:
        """Return the labels of a row as they are imported."""
        for pair in labels.pairs:
            if pair.exported is None:
                self.seen.add(texts_of_pair(pair), self.reading)
            else:
                self.exported += 1
        return replace(labels, pairs=tuple(map(self.reading.pair, labels.pairs)))

    def tell(self) -> None:
        """Warn of what is kept without having been asked for, and note what stays as it is."""
        self.seen.tell(self.reading, "pairs", IN_COMMAND)
        if self.reading.changes and self.exported:
            html = ["--html text"] if self.reading.html == "text" else []
            given = [*html, *(["--quotes drop"] if self.reading.quotes == "drop" else [])]
            found = counted(self.exported, "pair")
            note(
                f"the texts of {found} that Publius exported stay as they are: {' and '.join(given)} "
                "is for the import that makes them"
            )


def _put_in_place(staging: Path, to: Path) -> None:
    """Rename a complete folder to its name; an import that is there is moved aside first, then removed."""
    replaced = to.with_name(f".{to.name}.replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    if (to / SUMMARY).exists():
        to.rename(replaced)
    staging.rename(to)
    sync_folder(to.parent)  # makes the new name durable
    shutil.rmtree(replaced, ignore_errors=True)


def _nothing_kept(tally: Tally, request: LabelsRequest, found: Recognised) -> DataError:
    """Return the error of a file of which no row can be used, with columns as the file names them."""
    rows = RowsMeeting(request.where).of(label_rows(with_split(request.source)))
    own = list(itertools.islice(rows, _PEEKED))
    first = [
        ExcludedExample(f"row {seen.rows[0]}", reason, seen.detail)
        for reason, seen in sorted(tally.dropped.items(), key=lambda entry: entry[1].rows[0])
    ]
    what = f"none of the {tally.rows:,} rows can be used" if tally.rows > 1 else "the only row cannot be used"
    hint = found.source.summary
    if VERDICT_NOT_RECOGNISED in tally.dropped:
        hint = accepted_verdicts(found.source.name)
    elif tally.aspects and not tally.judgments:
        seen = ", ".join(r.removeprefix(ANOTHER_ASPECT) for r in tally.aspects if r != NO_ASPECT)
        hint = (
            f"--aspect with one of the file's: {seen}" if seen else "no --aspect: the labels name no aspect"
        )
    elif tally.close:
        hint = "scores or ratings that differ by as much, or a smaller --min-margin"
    elif found.source.name not in _OUR_TABLES:
        hint += _other_columns(own, request.names)
    columns = list(
        dict.fromkeys(str(n) for row in own if isinstance(row.values, Mapping) for n in row.values)
    )
    counts = {reason: seen.count for reason, seen in tally.dropped.items()}
    return nothing_usable(what, request.source.name, first, columns, hint, counts)


def _other_columns(first: Sequence[Row], names: ColumnNames) -> str:
    """Return `; or --columns ...` for the columns of a file; empty if these are the ones that were given."""
    suggested = columns_to_import(first)
    given = [*names.columns.items(), *(("verdict", name) for name in names.people)]
    parts = shlex.split(suggested)[-1].split(",") if suggested else []
    return "" if {*parts} <= {f"{ours}={theirs}" for ours, theirs in given} else suggested


def accepted_verdicts(format: str) -> str:
    """Return what the column of verdicts of a format may hold: every word."""
    return SHEET_VERDICTS if format in _OUR_TABLES else ACCEPTED_VERDICTS


def unwanted_in_words(summary: Mapping[str, Any]) -> list[str]:
    """Return a line for each value of an ignored column that says that its rows should not count."""
    found = [UnwantedRows(**one) for one in summary.get("perhaps_unwanted", ())]
    return [
        f"{rows.column} has {counted(rows.rows, 'row')} {rows.value!r}, all imported; "
        f"{shell_command('--where', f'{rows.column}!={rows.value}')} leaves them out"
        for rows in found
    ]


def _clear(staging: Path) -> None:
    """Remove the hidden folder of an import that was killed. Raises RunStateError if one is running."""
    with os_errors(staging):
        if staging.exists():
            RecordStore(staging).close()  # raises if another import holds the lock
            shutil.rmtree(staging)


def _run(run: LabelImport, source: LabelSource, rows: Iterator[Row], advance: Callable[[], None]) -> Tally:
    if is_built_in(source):
        return run.run(source, rows, advance)
    with source_errors(lambda: f"the source {source.name!r} failed after {run.tally.rows:,} rows"):
        return run.run(source, rows, advance)


def _summary(tally: Tally, request: LabelsRequest, found: Recognised, labeler: str) -> _Summary:
    used = found.source.columns
    read = request.names.read
    read |= {top_column(name, tally.columns) for name in condition_columns(request.where)}
    ignored = [] if used is None else [name for name in tally.columns if name not in used | read]
    unwanted = [rows._asdict() for name in ignored for rows in tally.states.unwanted(name)]
    cases = case_columns(ignored) if tally.repeats.count else []
    ignored = [name for name in ignored if name not in cases]
    repeated = sum(
        t[DUPLICATE_JUDGMENT].count for t in (tally.dropped, tally.skipped) if DUPLICATE_JUDGMENT in t
    )
    return {
        "folder": str(request.to),
        "source": request.source.name,
        "format": found.source.name,
        "recognised": found.why,
        "labeler": labeler,
        "rows": tally.rows,
        "kept": tally.kept,
        "dropped": tally.dropped_rows,
        "comparisons": tally.comparisons,
        "judgments": tally.judgments,
        "verdicts": dict(tally.verdicts.most_common()),
        "won": tally.won.as_json(),
        "annotators": len(tally.annotators),
        **({"annotators_in": theirs} if (theirs := request.names.columns.get(OURS)) else {}),
        "duplicates": repeated,
        "conflicts": asdict(tally.conflicts),
        **({"repeats": {**asdict(tally.repeats), "told_apart_by": cases}} if tally.repeats.count else {}),
        "dropped_for": _listed(tally.dropped),
        **({"where": _listed(tally.unmet)} if request.where else {}),
        "left_out": _listed(tally.skipped),
        **({"aspects": _listed(tally.aspects)} if request.stated.aspects else {}),
        **({} if request.min_margin is None else {"too_close": _listed(tally.close)}),
        "notes": _listed(tally.notes),
        **({"answers": list(answers)} if (answers := request.names.answers) else {}),
        "passed_over": ignored,
        **({"perhaps_unwanted": unwanted} if unwanted else {}),
        "repeated_answers": tally.repeated.line(),
    }


def _listed(tallied: Tallied) -> list[Mapping[str, Any]]:
    """Return the reasons with their counts, most frequent first."""
    ordered: list[tuple[str, RowOccurrences]] = sorted(tallied.items(), key=lambda entry: -entry[1].count)
    return [{"reason": reason, **asdict(found)} for reason, found in ordered]


def _refuse_losses(summary: _Summary, request: LabelsRequest) -> None:
    """Raise a DataError, with one line per reason, if anything was skipped that --aspect does not exclude."""
    dropped = (entry for entry in summary["dropped_for"] if entry["reason"] != NO_WANTED_ASPECT)
    lost = [*dropped, *summary["left_out"], *summary.get("too_close", ())]
    problems = [_loss(entry, request.source.name) for entry in lost[:_SHOWN_PROBLEMS]]
    if problems:
        raise DataError.of(problems)


def _loss(entry: Mapping[str, Any], name: str) -> Problem:
    times = "once" if entry["count"] == 1 else f"{entry['count']:,} times"
    detail = f" ({entry['detail']})" if entry["detail"] else ""
    return Problem(
        f"{entry['reason']}{detail}, {times}",
        where=f"{name}:{entry['rows'][0]}",
        accepted="a file that can be imported completely, or no --strict",
    )
