"""What a file of prompts says of prompts that another file has replies or labels for: tags and columns.

Prompts are the same if their words are, without case and punctuation, as for `duplicates: normalised`. A
system message that only the other file has does not make them differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.notices import counted, note, warn
from core.records import Message, Prompt
from prompts.rows import OUR_COLUMNS
from prompts.sources import normalised
from publius.sources.column_names import CASE_COLUMNS, at_paths, require_each_column, top_columns
from publius.sources.prompts import PROMPT_FORMS, PromptFile, PromptRow, read_prompt_rows
from publius.sources.texts.reading import UNSAID, TextReading
from publius.sources.unusable import nothing_usable
from training.examples import ExcludedExample

_SHOWN = 3
"""Columns, places or prompts that a line names."""


@dataclass(frozen=True, slots=True)
class PromptBeside:
    """What the file says of a prompt."""

    tags: tuple[str, ...]
    values: Mapping[str, Any]
    """Its columns, without those that its text was read from."""


_NOTHING_KNOWN = PromptBeside((), {})


@dataclass
class PromptsBeside:
    """The prompts of a file by their words, and which of them were asked for."""

    name: str
    found: dict[str, PromptBeside] = field(default_factory=dict)
    columns: dict[str, None] = field(default_factory=dict)
    joined: int = 0
    """Replies or comparisons whose prompt is in the file."""
    missing: list[str] = field(default_factory=list)
    """Names of those whose prompt is not."""
    used: set[str] = field(default_factory=set)
    """Words of the file's prompts that were asked for."""

    def of(self, prompt: Prompt | None, name: str) -> PromptBeside:
        """Return what the file says of a prompt, and count it; nothing if it has no such prompt.

        Args:
            prompt: the prompt of the other file; None if there is none.
            name: the name of its reply or comparison for people.
        """
        for key in () if prompt is None else _keys(prompt.messages):
            if key in self.found:
                self.joined += 1
                self.used.add(key)
                return self.found[key]
        self.missing.append(name)
        return _NOTHING_KNOWN

    def with_tags(self, prompt: Prompt, name: str) -> Prompt:
        """Return a prompt with the file's tags after its own, and count it."""
        tags = self.of(prompt, name).tags
        return prompt.model_copy(update={"tags": tuple(dict.fromkeys((*prompt.tags, *tags)))})

    def require_joined(self, source: str, of: str) -> None:
        """Raise a DataError if none of the prompts is in the file.

        Args:
            source: name of the other file.
            of: what it has, as `replies`.
        """
        if not self.joined:
            accepted = (
                f"the prompts of these {of}, with the same words; --columns prompt=THEIRS names their column"
            )
            raise DataError(
                f"none of its {counted(len(self.found), 'prompt')} is one of {source}",
                where=f"--prompts {self.name}",
                accepted=accepted,
            )

    def as_json(self) -> dict[str, Any]:
        """Return what was joined and what was not as JSON-able values."""
        return {
            "file": self.name,
            "prompts": len(self.found),
            "prompts_joined": len(self.used),
            "joined": self.joined,
            "not_joined": len(self.missing),
            "without_prompt_there": self.missing,
        }


def say_joined(found: Mapping[str, Any], of: str, what: str = "tags and columns") -> None:
    """Print what was joined and what was not.

    Args:
        found: as of `PromptsBeside.as_json`.
        of: what was joined, as `replies`.
        what: what of the file they get.
    """
    total = found["joined"] + found["not_joined"]
    note(
        f"{found['file']}: {what} for {found['joined']:,} of {total:,} {of}, "
        f"from {found['prompts_joined']:,} of its {counted(found['prompts'], 'prompt')}"
    )
    if found["not_joined"]:
        missing = found["without_prompt_there"]
        more = ", ..." if found["not_joined"] > _SHOWN else ""
        warn(
            f"{found['not_joined']:,} of {total:,} {of} have no prompt with the same words in "
            f"{found['file']}, and get no {what} from it ({', '.join(missing[:_SHOWN])}{more})"
        )


def read_prompts_beside(path: Path, columns: Mapping[str, str], given: TextReading = UNSAID) -> PromptsBeside:
    """Return the prompts of a file by their words.

    Rows with the same words are one prompt with the tags of all; of other columns, the first row counts.

    Args:
        path: the file.
        columns: the file's column for each of ours; those that it has.
        given: how texts are read: HTML, quoted mail and signatures.

    Raises:
        DataError: the file cannot be read, or has no prompts.
    """
    reading = _Reading(PromptsBeside(path.name), columns.get("tags", "tags"))
    source = PromptFile(path, columns=columns, html=given.html, quotes=given.quotes)
    for row in read_prompt_rows(source):
        reading.add(row)
    reading.finish(path)
    if "tags" in columns:
        require_each_column(columns["tags"], reading.found.columns, "--columns tags")
    return reading.found


def columns_of_both(
    other: Path, prompts: Path, columns: Mapping[str, str], only_other: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the user's columns for each of two files: each column for the file, or the files, that have it.

    A column that neither has is left to the first, which refuses it.

    Args:
        other: the file with replies.
        prompts: the file of prompts.
        columns: the user's column for each of ours.
        only_other: our columns that only the first file can have.
    """
    if not columns:
        return {}, {}
    theirs = columns_held(prompts, {ours: name for ours, name in columns.items() if ours not in only_other})
    here = columns_held(other, columns, known=tuple(columns))
    return {ours: name for ours, name in columns.items() if ours in here or ours not in theirs}, theirs


def columns_held(
    path: Path, columns: Mapping[str, str], known: Sequence[str] = OUR_COLUMNS
) -> dict[str, str]:
    """Return those of the user's columns that some row of a file has, of `known` columns of ours."""
    absent = {ours for ours in columns if ours in known}
    asked = set(absent)
    for row in read_prompt_rows(PromptFile(path)):
        present = at_paths(row.values, [columns[ours] for ours in absent])
        absent = {ours for ours in absent if columns[ours] not in present}
        if not absent:
            break
    return {ours: name for ours, name in columns.items() if ours in asked - absent}


def _keys(messages: Sequence[Message]) -> Iterator[str]:
    """Yield the words of a prompt, and those without its system message."""
    yield _key(messages)
    if messages[0].role == "system":
        yield _key(messages[1:])


def _key(messages: Sequence[Message]) -> str:
    """Return the words of messages; of signs alone, the signs."""
    return normalised(messages) or "\n".join(message.content for message in messages)


@dataclass
class _Reading:
    """The prompts of a file, and what is wrong with its rows."""

    found: PromptsBeside
    tags: str
    """The file's column of tags, which is a column all the same."""
    unusable: dict[str, list[ExcludedExample]] = field(default_factory=dict)
    differing: dict[str, list[str]] = field(default_factory=dict)
    """Places of rows that differ from an earlier one of the same prompt, by column."""

    def add(self, row: PromptRow) -> None:
        self.found.columns |= dict.fromkeys(map(str, row.values))
        if row.parsed is None:
            self.unusable.setdefault(row.reason, []).append(
                ExcludedExample(row.place, row.reason, row.detail)
            )
            return
        prompt = row.parsed.prompt
        read = row.parsed.read - top_columns(self.tags, row.values)
        values = {str(name): value for name, value in row.values.items() if name not in read}
        earlier = self.found.found.get(key := _key(prompt.messages))
        if earlier is None:
            self.found.found[key] = PromptBeside(prompt.tags, values)
            return
        tags = tuple(dict.fromkeys((*earlier.tags, *prompt.tags)))
        self.found.found[key] = PromptBeside(tags, earlier.values)
        for name, value in values.items():
            if name.casefold() not in CASE_COLUMNS and value != earlier.values.get(name):
                self.differing.setdefault(name, []).append(row.place)

    def finish(self, path: Path) -> None:
        name = self.found.name
        if not self.found.found:
            first = [found[0] for found in self.unusable.values()]
            counts = {reason: len(found) for reason, found in self.unusable.items()}
            raise nothing_usable(
                "there are no prompts",
                f"--prompts {path}",
                first,
                list(self.found.columns),
                PROMPT_FORMS,
                counts,
            )
        for reason, rows in self.unusable.items():
            more = ", ..." if len(rows) > _SHOWN else ""
            places = ", ".join(one.id for one in rows[:_SHOWN])
            note(f"{name}: {len(rows):,} left out: {reason} ({places}{more})")
        if self.differing:
            rows_again = list(dict.fromkeys(row for found in self.differing.values() for row in found))
            more = ", ..." if len(rows_again) > _SHOWN else ""
            names = ", ".join(list(self.differing)[:_SHOWN])
            warn(
                f"{name}: {counted(len(rows_again), 'more row')} of an earlier prompt with another value of "
                f"{names}: the first row counts, and tags of all ({', '.join(rows_again[:_SHOWN])}{more})"
            )
