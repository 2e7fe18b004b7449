"""Read a table of comparisons with one column of verdicts for each person.

prompt, response_a, response_b, dimension, weight, origin_a, origin_b and tags are as in `columns`. The
people's columns are named by the user, or recognised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import RequestError
from core.text.literals import float_of
from labelers.formats.annotation_columns import cell_tags
from labelers.formats.columns import NAMES, TARGETS, cell_origins, cell_sides
from labelers.formats.fields import is_missing, is_outcome, maybe_number, maybe_text, outcome_of
from labelers.formats.opinions import Opinion, pair_of
from labelers.formats.prompt_columns import PROMPT_COLUMNS
from labelers.formats.source import RowLabels, RowSource, Skipped, refusal

PEOPLE = "\0people"
"""The column in which the verdicts of a row are, by person."""
_VERDICT_NUMBERS = frozenset({-1, 0, 1, 2, 3})
_NO_VERDICT = re.compile(r"word|length|token|turn|count|year|month|day|seed|round|\bid\b", re.IGNORECASE)
"""Names of numbers that are nobody's verdict."""
_WORD = re.compile(r"[^\W_]+")
_TELLING = (("old", "new"), ("before", "after"), ("ours", "theirs"))
_TWO = (
    *(("a", "b"), ("1", "2"), ("0", "1"), ("left", "right"), ("first", "second"), ("j", "k")),
    *(("one", "two"), ("i", "ii"), *_TELLING),
)


class PeopleColumns(RowSource):
    """A table with two responses per row and the verdicts of several people."""

    name = "columns"
    summary = "a table with prompt, response_a, response_b and a column of verdicts for each person"
    columns = PROMPT_COLUMNS | {*NAMES, "dimension", "weight", "origin_a", "origin_b", "tags", PEOPLE}

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return None: which columns are people's is told by several rows together (`verdict_columns`)."""
        return None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, response_a first, with the opinion of each person."""
        sides = cell_sides(values)
        weight = maybe_number(values, "weight")
        dimension = maybe_text(values, "dimension")
        opinions, skipped = list[Opinion](), list[Skipped]()
        for person, verdict in values.get(PEOPLE, {}).items():
            if is_missing(verdict):
                skipped.append(Skipped("a person gave no verdict", person))
                continue
            try:
                outcome = outcome_of(verdict)
            except RequestError as error:
                skipped.append(Skipped(error.reason, f"{person}: {error.detail}"))
                continue
            opinions.append(
                Opinion(
                    verdict=outcome,
                    annotator=person,
                    dimension=dimension,
                    weight=1.0 if weight is None else weight,
                )
            )
        if not opinions:
            raise refusal(skipped, "the row has no verdict of a person")
        pair = pair_of(sides, opinions, cell_origins(values), cell_tags(values.get("tags")))
        return RowLabels((number,), (pair,), tuple(skipped))


def side_words(answers: tuple[str, str]) -> dict[str, str]:
    """Return `a` or `b` for each word that tells the names of two columns of answers apart.

    For `old letter` and `new letter` these are `old`, `new` and the whole names. Words are in lower case; a
    number is none, since some people count from 0.
    """
    words = [_WORD.findall(name.casefold()) for name in answers]
    found = dict[str, str]()
    for side, own, other in (("a", words[0], words[1]), ("b", words[1], words[0])):
        found |= {word: side for word in own if word not in other and not word.isdigit()}
        if own != other:
            found[" ".join(own)] = side
    return found


def differ_in_side(one: str, other: str) -> bool:
    """Return whether two names differ only in a letter, number or side, as `answer_a` and `answer_b` do."""
    return _difference(one, other) is not None


def differ_in_telling_words(one: str, other: str) -> bool:
    """Return whether two names differ only in words that say which is which, as `old` and `new` do."""
    return _difference(one, other) in _TELLING


def _difference(one: str, other: str) -> tuple[str, str] | None:
    for first, second in _TWO:
        for found in re.finditer(rf"{first}(?=\]?$|_|\b)", one, flags=re.IGNORECASE):
            named = f"{one[: found.start()]}{second}{one[found.end() :]}"
            if named.casefold() == other.casefold():
                return first, second
    return None


def folded_word(value: str) -> str:
    """Return a verdict as `side_words` has it."""
    return " ".join(_WORD.findall(value.casefold()))


def verdict_columns(
    rows: Sequence[Mapping[str, Any]], words: Mapping[str, str], own: Mapping[str, str], share: float = 1.0
) -> list[str]:
    """Return the columns whose cells are verdicts, apart from our own columns.

    Args:
        rows: the first rows of a table.
        words: the words for a side, as `side_words` has them.
        own: the user's words for verdicts.
        share: share of the filled cells that must be verdicts.
    """
    found = []
    for name in dict.fromkeys(name for row in rows for name in row):
        cells = [row[name] for row in rows if not is_missing(row.get(name))]
        told = sum(_is_verdict(cell, words, own) for cell in cells)
        if cells and told >= share * len(cells) and name not in TARGETS:
            found.append(str(name))
    return found


def _is_verdict(cell: Any, words: Mapping[str, str], own: Mapping[str, str]) -> bool:
    if isinstance(cell, str):
        return is_outcome(cell) or folded_word(cell) in words or cell.strip() in own
    number = _whole(cell)
    return number is not None and str(number) in own


def numbered_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Return the columns whose cells may be verdicts as numbers, such as 1, 2 and 0, with all their numbers.

    A number says nothing of a side until the user says which is which: some people count from 0.

    Args:
        rows: the first rows of a table.
    """
    found = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        cells = [row[name] for row in rows if not is_missing(row.get(name)) and row[name] != ""]
        numbers = {_whole(cell) for cell in cells}
        if (
            numbers
            and numbers <= _VERDICT_NUMBERS
            and name not in TARGETS
            and not _NO_VERDICT.search(str(name))
        ):
            found[str(name)] = sorted(number for number in numbers if number is not None)
    return found


def _whole(cell: Any) -> int | None:
    """Return a cell as a whole number, however it is written; None if it is none."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    try:
        number = float_of(cell) if isinstance(cell, str) else float(cell)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None
