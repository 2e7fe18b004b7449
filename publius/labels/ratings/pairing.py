"""Pairs from ratings of single answers: two answers to one prompt that the same person rated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from core.errors import DataError, shell_command
from core.notices import counted
from labelers.formats.source import Row
from publius.labels.ratings.table import RatingColumns, rating_columns, rating_of

_OF_VERDICTS = 2
"""Ratings that are all up to this number may be verdicts: 1 for the first answer, 2 for the second."""
UNPAIRED_RATING = "no other answer to its prompt was rated by the same person"


def ratings_in(first: Sequence[Row]) -> RatingColumns | None:
    """Return the columns of a table of ratings of single answers; None if it does not look like one."""
    rows = [row.values for row in first if isinstance(row.values, Mapping)]
    found = rating_columns(rows)
    if found is None or found.prompt is None:
        return None
    cells = (row.get(name) for row in rows for name in found.raters)
    numbers = [number for cell in cells if (number := rating_of(cell)) is not None]
    return found if max(numbers) > _OF_VERDICTS else None


def rated_pairs(rows: Iterable[Row], columns: RatingColumns, where: str) -> list[Row]:
    """Return a row for each two answers to one prompt and each rater of both, with both ratings.

    A row whose answer is in no pair is returned with the problem `UNPAIRED_RATING`,
    so that the import counts it.

    Args:
        rows: all rows of the table.
        columns: its columns.
        where: the table, for errors.

    Raises:
        DataError: no prompt has two answers that one person rated, so that no pair can be made.
    """
    by_prompt: dict[str, list[Row]] = {}
    found: list[Row] = []
    for row in rows:
        if row.problem is None and isinstance(row.values, Mapping):
            by_prompt.setdefault(str(row.values.get(columns.prompt)), []).append(row)
        else:
            found.append(row)
    paired = set[int]()
    for group in by_prompt.values():
        for one, two in combinations(group, 2):
            pairs = [pair for rater in columns.raters if (pair := _pair(one, two, rater, columns))]
            found += pairs
            paired |= {one.number, two.number} if pairs else set()
    if not paired:
        raise _no_pair(columns, by_prompt, where)
    alone = (row for group in by_prompt.values() for row in group if row.number not in paired)
    found += (Row(row.number, _unread(row.values, columns), UNPAIRED_RATING) for row in alone)
    return sorted(found, key=lambda row: row.number)


def refuse_single_ratings(first: Sequence[Row], where: str, format: str) -> None:
    """Raise a DataError if rows that a format does not recognise are ratings of single answers."""
    columns = ratings_in(first)
    if columns is not None:
        raise DataError(
            f"the table does not have the format {format!r}: it has ratings of single answers by "
            f"{', '.join(columns.raters)}",
            where=where,
            accepted="no --format: rated answers to one prompt are paired, where a prompt has several",
            run=_agreement_of(where),
        )


def _no_pair(columns: RatingColumns, by_prompt: Mapping[str, Sequence[Row]], where: str) -> DataError:
    prompts = counted(len(by_prompt), "prompt")
    return DataError(
        f"ratings of single answers ({', '.join(columns.raters)}): of {prompts}, none has two answers that "
        "one person rated, so there are no pairs",
        where=where,
        accepted="several rows with one prompt and different answers, or two answers in each row",
        run=_agreement_of(where),
    )


def _agreement_of(where: str) -> str:
    command = shell_command("publius", "agreement", where, "--constitution", "RULES.yaml")
    return f"{command}, which says how far the raters agree, and how their ratings go with your rules"


def _unread(values: Mapping[str, Any], columns: RatingColumns) -> dict[str, Any]:
    """Return the columns that are not read, so that the import lists those alone as ignored."""
    read = {columns.prompt, columns.answer, *columns.raters}
    return {name: cell for name, cell in values.items() if name not in read}


def _pair(one: Row, two: Row, rater: str, columns: RatingColumns) -> Row | None:
    """Return the row of two answers that a person rated; None if one of the ratings is missing."""
    ratings = [row.values.get(rater) for row in (one, two)]
    if any(str("" if rating is None else rating).strip() == "" for rating in ratings):
        return None
    values: dict[str, Any] = {
        "prompt": one.values[columns.prompt],
        "response_a": one.values.get(columns.answer),
        "response_b": two.values.get(columns.answer),
        "rating_a": ratings[0],
        "rating_b": ratings[1],
        "annotator": rater,
        **_unread(one.values, columns),
    }
    return Row(one.number, values)
