"""Tables of labels with one column of verdicts for each person: which columns these are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.errors import DataError, shell_command
from labelers.formats.columns import NAMES
from labelers.formats.people_columns import numbered_columns, side_words, verdict_columns
from labelers.formats.prompt_columns import PROMPT_COLUMNS
from labelers.formats.source import Row
from labelers.formats.vote_counts import VOTE_COUNTS
from publius.labels.joining import is_long_text
from publius.sources.column_names import ColumnNames
from publius.sources.unusable import likely_prompt, two_alike

_MOSTLY = 0.5
"""Share of a column's cells that are verdicts, or texts, from which the column is proposed as one."""


def with_people(names: ColumnNames, first: Sequence[Row], where: str, *, joined: bool) -> ColumnNames:
    """Return names with the columns of people and of answers, if two columns or more have only verdicts.

    Args:
        names: the user's names.
        first: the first rows of the table.
        where: the table, for errors.
        joined: True if the texts are in another file.

    Returns:
        The names, unchanged if the table is no such table.

    Raises:
        DataError: the table is such a table, but its prompts or answers are not known; with the `--columns`.
    """
    rows = [row.values for row in first if isinstance(row.values, Mapping)]
    if joined or (names.people and set(NAMES) <= names.columns.keys()):
        people = names.people or tuple(_people(names, rows, {}, 1.0))
        return replace(names, people=people) if len(people) > 1 else names
    answers = _answers(names, rows)
    if answers is None:
        return names
    words = side_words(answers)
    people = names.people or tuple(_people(names, rows, words, 1.0))
    mapped = {ours: theirs for ours, theirs in zip(NAMES, answers, strict=True) if ours != theirs}
    found = replace(names, columns={**names.columns, **mapped}, people=people)
    if len(people) > 1 and _has_prompt(names, rows):
        return found
    likely = people if len(people) > 1 else tuple(_people(names, rows, words, _MOSTLY))
    if len(likely) < 2 and not names.verdicts:
        _refuse_numbers(found, rows, where)
    if len(likely) < 2:
        return names
    raise _proposal(replace(found, people=likely), rows, where)


def _refuse_numbers(names: ColumnNames, rows: Sequence[Mapping[str, Any]], where: str) -> None:
    """Raise a DataError, with the `--verdicts` to give, if several columns seem to be verdicts as numbers.

    Args:
        names: the names of the columns of the prompt and of both answers.
        rows: the first rows of the table.
        where: the table, for the error.
    """
    taken = set(names.columns.values())
    found = {name: numbers for name, numbers in numbered_columns(rows).items() if name not in taken}
    numbers = sorted({number for own in found.values() for number in own})
    if len(found) < 2 or len(numbers) < 2 or any(name in row for row in rows for name in VOTE_COUNTS):
        return
    first, second, *others = (1, 2, *(n for n in numbers if n not in (1, 2)))
    if 2 not in numbers:  # 0 and 1, or -1 and 1 around a tie
        first, second, *others = (numbers[0], numbers[-1], *numbers[1:-1])
    meant = {"a": first, "b": second, **dict(zip(("tie", "both_bad"), others, strict=False))}
    verdicts = ",".join(f"{ours}={number}" for ours, number in meant.items())
    answers = [names.columns.get(name, name) for name in NAMES]
    listed = ", ".join(map(str, numbers))
    command = ["publius", "import", "labels", where, "--to", "DIR", "--verdicts", verdicts]
    if not _has_prompt(names, rows):
        command += ["--columns", _columns_of(replace(names, people=tuple(found)), rows)[0]]
    raise DataError(
        f"{', '.join(found)} seem to be columns of verdicts as numbers ({listed}), one for each person",
        where=where,
        accepted=f"what each number means in --verdicts, as below if {first} is for {answers[0]} and "
        f"{second} for {answers[1]}; or words, such as a, b and tie, in the table",
        run=shell_command(*command),
    )


def _proposal(names: ColumnNames, rows: Sequence[Mapping[str, Any]], where: str) -> DataError:
    """Return the error of a table that seems to have columns of people, with the `--columns` for it."""
    what = f"{', '.join(names.people)} seem to be columns of verdicts, one for each person"
    accepted = "these columns by name, as below; other words with --verdicts a=THEIRS,b=THEIRS"
    given, has_prompt = _columns_of(names, rows)
    if not has_prompt:
        what += ", but no column has prompts"
        accepted = "a column of prompts as prompt=NAME, or one that tells the rows apart, as below"
    command = ["publius", "import", "labels", where, "--to", "DIR", "--columns", given]
    if names.verdicts:
        command += ["--verdicts", ",".join(f"{ours}={theirs}" for theirs, ours in names.verdicts.items())]
    return DataError(what, where=where, accepted=accepted, run=shell_command(*command))


def _columns_of(names: ColumnNames, rows: Sequence[Mapping[str, Any]]) -> tuple[str, bool]:
    """Return the `--columns` of a table with a column for each person, and whether a column has prompts."""
    columns, taken = dict(names.columns), (*names.columns.values(), *names.people)
    has_prompt = True
    if not _has_prompt(names, rows):
        rest = [name for name in rows[0] if name not in taken]
        texts = [name for name in rest if _is_text_column(name, rows)]
        likely = likely_prompt(texts) or next(iter(texts), None) or likely_prompt(rest)
        columns = {"prompt": likely or _key(rows, taken) or "NAME", **columns}
        has_prompt = likely is not None
    given = [f"{ours}={theirs}" for ours, theirs in columns.items()]
    return ",".join([*given, *(f"verdict={name}" for name in names.people)]), has_prompt


def people_in_words(names: ColumnNames) -> str:
    """Return which columns are read as verdicts of people."""
    answers = [f"{ours} is {names.columns[ours]!r}" for ours in NAMES if ours in names.columns]
    return "; ".join([f"a column of verdicts each for {', '.join(names.people)}", *answers])


def _people(
    names: ColumnNames, rows: Sequence[Mapping[str, Any]], words: Mapping[str, str], share: float
) -> list[str]:
    taken = set(names.columns.values())
    return [name for name in verdict_columns(rows, words, names.verdicts, share) if name not in taken]


def _answers(names: ColumnNames, rows: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """Return the columns of both answers: as mapped, ours, or the two texts beside the prompt.

    Of several texts, the two whose names are alike (`draft 1` and `draft 2`), or those beside the column
    whose name says that it has prompts.
    """
    mapped = [
        names.columns.get(name) or (name if name in row else None) for row in rows[:1] for name in NAMES
    ]
    if len(mapped) == 2 and all(mapped):
        return str(mapped[0]), str(mapped[1])
    if any(mapped):
        return None
    taken = set(names.columns.values()) | PROMPT_COLUMNS
    others = dict.fromkeys(name for row in rows for name in row if name not in taken)
    texts = [str(name) for name in others if _is_text_column(name, rows)]
    if len(texts) > 2:
        alike = two_alike(texts)
        if alike is not None:
            return alike
        asked = likely_prompt(texts)
        texts = [name for name in texts if name != asked]
    return (texts[0], texts[1]) if len(texts) == 2 else None


def _is_text_column(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return True if most filled cells of a column are texts."""
    cells = [row[name] for row in rows if row.get(name)]
    return sum(map(is_long_text, cells)) > _MOSTLY * len(cells)


def _has_prompt(names: ColumnNames, rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(name in PROMPT_COLUMNS for row in rows[:1] for name in (*names.columns, *row))


def _key(rows: Sequence[Mapping[str, Any]], taken: Sequence[str]) -> str | None:
    """Return the first column that is filled in each row and tells the rows apart."""
    for name in rows[0] if rows else ():
        cells = [str(row.get(name) or "") for row in rows]
        if name not in taken and all(cells) and len(set(cells)) == len(cells):
            return str(name)
    return None
