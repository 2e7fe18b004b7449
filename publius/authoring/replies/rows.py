"""Replies with the prompts that they answer, from any file that prompts are read from.

A row has a reply in a column of its own, or is a conversation, each of whose answers is a reply. A row
without a prompt is a reply all the same: rules that depend on the prompt are then not decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from core.conversations import is_transcript, shown
from core.errors import ConfigError, DataError, RequestError
from core.notices import note
from core.records import Prompt
from core.store.containers import is_table, kind_of
from core.text.explain import one_of
from core.text.literals import parsed_literal
from core.text.messages import is_conversation
from labelers.formats.prompt_columns import SYSTEMS, TALKS
from publius.sources.answer_rows import COMPLETIONS, turns_in
from publius.sources.beside.prompts import PromptsBeside, columns_of_both, read_prompts_beside
from publius.sources.column_names import (
    CASE_COLUMNS,
    at_paths,
    cells_of_list,
    require_each_column,
    top_column,
    top_columns,
    without_mapped,
)
from publius.sources.prompts import PromptFile, PromptRow, read_prompt_rows
from publius.sources.splits.mapping import unread_splits
from publius.sources.texts.reading import IN_COMMAND, UNSAID, TextReading, TextsSeen, asked_texts
from publius.sources.unusable import likely_prompt, nothing_usable, suggested_reply_columns, text_paths
from training.examples import ExcludedExample

REPLY_COLUMNS = ("reply", *COMPLETIONS)
"""Columns with a reply, in order of precedence; names match whatever their case."""
_CASES = CASE_COLUMNS
"""Columns that name a row for people, in order of precedence."""
_OURS = ("prompt", "reply", "messages", "system", "tags", "id")
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".arrow")
_LONGEST_CASE = 60
_TAGS = ("tag", "tags")
"""Names by which replies are told apart by the tags of their prompts, where no column has the name."""
_NO_REPLY = "no column holds a reply"
_FORMS = (
    "a .jsonl, .json, .yaml, .csv, .tsv (each also .gz) or .parquet file, a data set folder, "
    "or a Hugging Face id; with a column reply, response, answer, completion or output, "
    "and one with its prompt; or conversations"
)


@dataclass(frozen=True, slots=True)
class ReplyRow:
    """A reply to check."""

    case: str
    """Name of the case for people: its id, or else its place."""
    place: str
    """Place of the row by the file's name: `replies.jsonl:17`, or `replies.csv row 17`."""
    reply: str
    prompt: Prompt | None
    """None if the row has none."""
    own: Mapping[str, Any] = field(default_factory=dict)
    """The file's columns that hold neither the name of the case nor the prompt or the reply."""
    by: Any = None
    """The cell of the column that replies are told apart by; None without one."""


@dataclass
class ReadReplies:
    """The replies of a file."""

    name: str
    rows: list[ReplyRow] = field(default_factory=list)
    read: int = 0
    """Number of rows in the file."""
    excluded: dict[str, list[str]] = field(default_factory=dict)
    """Places of the rows, or of answers in them, that are left out, by reason."""
    columns: dict[str, None] = field(default_factory=dict)
    beside: PromptsBeside | None = None
    """The file of prompts whose tags and columns the replies have too; None without one."""

    @property
    def without_prompt(self) -> int:
        """Number of replies without a prompt."""
        return sum(row.prompt is None for row in self.rows)

    @property
    def likely_prompt(self) -> str | None:
        """The column that probably holds the prompts, if none was read."""
        return (
            likely_prompt(list(self.columns)) if self.rows and self.without_prompt == len(self.rows) else None
        )


class _Found(NamedTuple):
    reply: str
    prompt: Prompt | None
    number: int | None = None
    """Number of the answer in its conversation, or in a list of answers, if that has several."""


def looks_like_replies(path: Path) -> bool:
    """Return True if a file is a table or has a record on each line, so that it is no single reply."""
    return kind_of(path) in _TABLES or is_table(path)


def read_replies(
    path: Path,
    columns: Mapping[str, str],
    tags: Iterable[str] = (),
    reading: TextReading = UNSAID,
    by: str | None = None,
    prompts: Path | None = None,
) -> ReadReplies:
    """Return the replies of a file, a data set folder or a Hugging Face id.

    Args:
        path: the file.
        columns: the file's column for each of ours.
        tags: tags that every prompt gets beside its own.
        reading: how prompts and replies are read: HTML, quoted mail and signatures.
        by: the file's column whose cell each reply keeps, or `tag` for the tags of its prompt; None for none.
        prompts: a file of prompts, whose tags and columns replies to the same prompts get; None for none.

    Raises:
        ConfigError: if a column is not one of ours, or no row has it.
        DataError: if a file cannot be read, no row has a reply, or none has a prompt of the file of prompts.
    """
    for ours in columns:
        if ours not in _OURS:
            accepted = one_of(_OURS, ours)
            raise ConfigError(f"unknown column {ours!r}", where="--columns", accepted=accepted)
    beside = None
    if prompts is not None:
        columns, theirs_beside = columns_of_both(path, prompts, columns, ("reply", "id"))
        beside = read_prompts_beside(prompts, theirs_beside, reading)
    asked = {ours: theirs for ours, theirs in columns.items() if ours not in ("reply", "id")}
    found = _Reading(
        ReadReplies(path.name, beside=beside), columns, tuple(tags), set(columns), reading, by=by
    )
    apart = [theirs for ours, theirs in columns.items() if ours in ("reply", "id")]
    for row in read_prompt_rows(PromptFile(path, columns=asked), apart):
        found.add(row)
    found.require(path)
    if unread := unread_splits(path, in_run_file=False):
        note(unread)
    found.seen.tell(reading, "replies or their prompts", IN_COMMAND)
    return found.found


@dataclass
class _Reading:
    """Replies, and what their file lacks, collected while it is read."""

    found: ReadReplies
    mapped: Mapping[str, str]
    tags: tuple[str, ...]
    absent: set[str]
    """Our names of mapped columns that no row had so far."""
    reading: TextReading = UNSAID
    seen: TextsSeen = field(default_factory=TextsSeen)
    by: str | None = None
    """The column that replies are told apart by."""
    has_by: bool = False
    """True once a row had that column."""
    first: Mapping[str, Any] | None = None
    """The first row with columns."""
    unusable: list[ExcludedExample] = field(default_factory=list)
    """The first row of each reason."""

    def add(self, row: PromptRow) -> None:
        """Read one row."""
        found = self.found
        found.read += 1
        found.columns |= dict.fromkeys(map(str, row.values))
        self.absent &= _absent(row, self.mapped)
        self.first = self.first or row.values or None
        try:
            answers, skipped = _answers(row, self.mapped)
        except RequestError as error:
            answers, skipped = [], [error]
        for one in answers:
            self.seen.add([one.reply, *asked_texts(one.prompt)], self.reading)
        answers = [_as_read(one, self.reading) for one in answers]
        case = _case(row.values, self.mapped) or row.place
        own = _own(row, self.mapped) if answers else {}
        for one in answers:
            reply = _row(one, case, row.place, self.tags, own)
            found.rows.append(self._told(reply, row.values, one.number))
        for problem in skipped:
            if problem.reason not in found.excluded:
                self.unusable.append(ExcludedExample(row.place, problem.reason, problem.detail))
            found.excluded.setdefault(problem.reason, []).append(row.place)

    def _told(self, reply: ReplyRow, values: Mapping[str, Any], number: int | None) -> ReplyRow:
        """Return a reply with what the file of prompts says of its prompt, and the cell that tells it apart.

        Of a column that both files have, the cell of the replies' file counts.

        Args:
            reply: the reply.
            values: its row.
            number: its number in a list of answers, from 1; None for the only one.
        """
        beside: Mapping[str, Any] = {}
        if self.found.beside is not None:
            said = self.found.beside.of(reply.prompt, reply.case)
            beside = {name: value for name, value in said.values.items() if name not in values}
            reply = replace(_tagged(reply, said.tags), own={**reply.own, **beside})
        if self.by is None:
            return reply
        listed, place = cells_of_list(values, self.by), (number or 1) - 1
        if listed is not None and place < len(listed):
            self.has_by = True
            return replace(reply, by=listed[place])
        cell = at_paths(values, [self.by]) or at_paths(beside, [self.by])
        if not cell and self.by.casefold() in _TAGS and reply.prompt is not None and reply.prompt.tags:
            cell = {self.by: reply.prompt.tags}
        self.has_by = self.has_by or bool(cell)
        return replace(reply, by=cell.get(self.by))

    def require(self, path: Path) -> None:
        """Raise an error if a mapped column does not exist, or there are no replies."""
        found = self.found
        if not found.read:
            raise DataError("the file contains no replies", where=str(path), accepted=_FORMS)
        for ours, theirs in self.mapped.items():
            if ours in self.absent:
                paths = [path for path in text_paths(self.first) if path not in found.columns]
                each = [path.replace("[0].", "[].") for path in paths if "[0]." in path]
                paths = [*paths, *(each if ours == "reply" else [])]
                where, accepted = f"--columns {ours}", one_of([*found.columns, *paths], theirs)
                raise ConfigError(f"no column {theirs!r}", where=where, accepted=accepted)
        if "tags" in self.mapped:
            require_each_column(self.mapped["tags"], found.columns, "--columns tags")
        if not found.rows:
            hint = suggested_reply_columns(self.first)
            counts = {reason: len(places) for reason, places in found.excluded.items()}
            columns = list(found.columns)
            raise nothing_usable(
                "there are no replies", str(path), self.unusable, columns, _FORMS + hint, counts
            )
        if found.beside is not None:
            found.beside.require_joined(path.name, "replies")
        if self.by is not None and not self.has_by:
            beside = found.beside
            names = [*found.columns, *([] if beside is None else beside.columns)]
            if self.by.casefold() in _TAGS:
                accepted = "prompts with tags: a column tags, --columns tags=THEIRS or --prompts FILE"
                raise ConfigError(f"no prompt of {path.name} has a tag", where="--by", accepted=accepted)
            where = path.name if beside is None else f"{path.name} or {beside.name}"
            accepted = one_of(dict.fromkeys(names), self.by)
            raise ConfigError(f"no column {self.by!r} in {where}", where="--by", accepted=accepted)


def _tagged(reply: ReplyRow, tags: tuple[str, ...]) -> ReplyRow:
    """Return a reply whose prompt has further tags."""
    if reply.prompt is None or not tags:
        return reply
    every = tuple(dict.fromkeys((*reply.prompt.tags, *tags)))
    return replace(reply, prompt=reply.prompt.model_copy(update={"tags": every}))


def _absent(row: PromptRow, columns: Mapping[str, str]) -> set[str]:
    """Return our names of columns that a row does not have."""
    present = at_paths(row.values, columns.values())
    absent = {ours for ours, theirs in columns.items() if theirs not in present}
    listed = cells_of_list(row.values, columns["reply"]) if "reply" in absent else None
    return absent if listed is None else absent - {"reply"}


def _answers(row: PromptRow, columns: Mapping[str, str]) -> tuple[list[_Found], list[RequestError]]:
    """Return the replies of a row, and why others of its conversation cannot be used.

    Raises:
        RequestError: if the row has none.
    """
    if not row.values:
        raise RequestError(row.reason, detail=row.detail)
    apart = [theirs for ours, theirs in columns.items() if ours not in ("prompt", "messages")]
    own = _folded_names(without_mapped(row.values, apart))
    left = _folded_names(without_mapped(row.values, columns.values()))
    if "reply" in columns:
        value = at_paths(row.values, [columns["reply"]]).get(columns["reply"])
    else:
        value = next((left[name] for name in REPLY_COLUMNS if left.get(name) not in (None, "")), None)
    prompt = None if row.parsed is None else row.parsed.prompt
    if value is None and (listed := cells_of_list(row.values, columns.get("reply", ""))) is not None:
        return _of_list(listed, prompt)
    if value is not None:
        return [_Found(_text(value), prompt)], []
    if "reply" in columns or any(name in left for name in REPLY_COLUMNS):
        raise RequestError("the reply is empty")
    return _of_talk(row, own, columns)


def _of_list(cells: Sequence[Any], prompt: Prompt | None) -> tuple[list[_Found], list[RequestError]]:
    """Return the replies in a list of answers to one prompt, and why others cannot be used.

    Raises:
        RequestError: if the list is empty.
    """
    found, skipped = list[_Found](), list[RequestError]()
    for number, cell in enumerate(cells, start=1):
        try:
            found.append(
                _Found(_text("" if cell is None else cell), prompt, number if len(cells) > 1 else None)
            )
        except RequestError as error:
            skipped.append(error)
    if not cells:
        raise RequestError("the list of replies is empty")
    return found, skipped


def _folded_names(values: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name).strip().casefold(): value for name, value in reversed(list(values.items()))}


def _of_talk(
    row: PromptRow, own: Mapping[str, Any], columns: Mapping[str, str]
) -> tuple[list[_Found], list[RequestError]]:
    """Return the answers of a row's conversation."""
    talk = at_paths(row.values, [columns["messages"]]) if "messages" in columns else {}
    held = talk or {name: own[name] for name in (*TALKS, "prompt") if _may_be_talk(own.get(name))}
    if not held and is_conversation(_opened(own.get("turns"))):
        held = {"turns": own["turns"]}
    if not held:
        raise RequestError(_NO_REPLY)
    name, value = next(iter(held.items()))
    system = {name: own[name.casefold()] for name in SYSTEMS if own.get(name.casefold())}
    turns = turns_in({name if name in TALKS else "messages": value, **system})[0]
    tags = () if row.parsed is None else row.parsed.prompt.tags
    source = "" if row.parsed is None else row.parsed.prompt.source
    found = [
        _Found(
            answered.answer,
            Prompt.of(answered.prompt, tags=tags, source=source),
            number if turns.total > 1 else None,
        )
        for number, answered in turns.learned
    ]
    return found, list(turns.skipped)


def _as_read(found: _Found, reading: TextReading) -> _Found:
    prompt = None if found.prompt is None else reading.prompt(found.prompt)
    return found._replace(reply=reading.text(found.reply), prompt=prompt)


def _may_be_talk(value: Any) -> bool:
    """Return True for a list, an object, a transcript, or a conversation as JSON in a cell of a table."""
    if isinstance(value, list | tuple | Mapping) or is_transcript(value):
        return True
    return is_conversation(_opened(value))


def _opened(value: Any) -> Any:
    return parsed_literal(value) if isinstance(value, str) and value.lstrip()[:1] == "[" else value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise RequestError("the reply is not text", detail=shown(value))
    if not value.strip():
        raise RequestError("the reply is empty")
    return value.strip()


def _case(values: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    """Return the id of a row for people; empty if it has none."""
    if "id" in columns:
        value = at_paths(values, [columns["id"]]).get(columns["id"])
    else:
        name = _first_named(without_mapped(values, columns.values()), _CASES)
        value = None if name is None else values[name]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    named = " ".join(str(value).split()) if isinstance(value, str | int | float) else ""
    return named if len(named) <= _LONGEST_CASE else f"{named[: _LONGEST_CASE - 1]}…"


def _own(row: PromptRow, columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the columns of a row from which nothing but tags was read."""
    read = {top_column(theirs, row.values) for ours, theirs in columns.items() if ours != "tags"}
    tags = top_columns(columns.get("tags", "tags"), row.values)
    read |= set() if row.parsed is None else row.parsed.read - tags
    left = without_mapped(row.values, columns.values())
    if "id" not in columns and (case := _first_named(left, _CASES)) is not None:
        read.add(case)
    if "reply" not in columns:
        reply = _first_named(left, REPLY_COLUMNS)
        read |= {name for name in row.values if _folded(name) in TALKS} if reply is None else {reply}
    return {str(name): value for name, value in row.values.items() if name not in read}


def _first_named(values: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """Return the filled column with the first of some names, whatever their case; None without one."""
    own = {_folded(name): name for name in reversed(list(values)) if values[name] not in (None, "")}
    return next((own[name] for name in names if name in own), None)


def _folded(name: Any) -> str:
    return "_".join(str(name).split()).casefold()


def _row(found: _Found, case: str, place: str, tags: tuple[str, ...], own: Mapping[str, Any]) -> ReplyRow:
    prompt = found.prompt
    if prompt is not None and tags:
        prompt = prompt.model_copy(update={"tags": tuple(dict.fromkeys((*prompt.tags, *tags)))})
    if found.number is not None:
        case, place = f"{case}, answer {found.number}", f"{place}, answer {found.number}"
    return ReplyRow(case, place, found.reply, prompt, own)
