"""Tables of ratings: which columns are raters', which have the prompt and the answer, and the rows read."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from core.errors import ConfigError, DataError, shell_command
from core.text.literals import float_of, has_decimal_comma, may_be_thousands
from labelers.formats.prompt_columns import PROMPT_COLUMNS
from labelers.formats.source import Row
from publius.labels.annotator_columns import columns_to_import
from publius.labels.joining import is_long_text
from publius.sources.judges.thumbs import refuse_thumbs, thumbs_in
from publius.sources.label_rows import label_rows
from publius.sources.rows import DataSource
from publius.sources.unusable import likely_prompt

_PEEKED = 25
_MOSTLY = 0.5
"""Share of a column's cells that are texts, from which it is a column of texts."""
_STEPS = 11
"""Most different values of a rating: a scale of 0 to 10."""
_RATED = re.compile(r"star|rating|rate|score|point|grade|likert", re.IGNORECASE)
_NO_RATING = re.compile(r"word|length|token|turn|count|year|month|day|seed|round|\bid\b", re.IGNORECASE)
"""Names of numbers that nobody gave as a rating."""
_PROMPT, _ANSWER, _CASE, _RATING = "prompt", "answer", "case", "rating"
_ANSWER_WORDS = re.compile(r"answer|response|reply|replied|completion|output|bot|assistant", re.IGNORECASE)
_EXAMPLE = "--columns prompt=NAME,answer=NAME,rating=NAME,rating=NAME"


@dataclass(frozen=True)
class RatingColumns:
    """The columns of a table of ratings."""

    raters: tuple[str, ...]
    answer: str
    prompt: str | None = None
    case: str | None = None
    """The column that tells the rows apart; None for their numbers."""


@dataclass(frozen=True)
class AnswerRatings:
    """One answer with its ratings."""

    case: str
    prompt: str
    answer: str
    ratings: Mapping[str, float]
    """By rater; a rater who gave none is not in it."""

    @property
    def mean(self) -> float:
        """The mean of its ratings."""
        return sum(self.ratings.values()) / len(self.ratings)


@dataclass(frozen=True)
class RatingsTable:
    """The rated answers of a file."""

    path: Path
    columns: RatingColumns
    rows: tuple[AnswerRatings, ...]
    left_out: Mapping[str, int]
    """Number of rows and cells that are not read, by reason."""
    decimal_commas: tuple[str, ...] = ()
    """The raters' columns that have numbers with a decimal comma."""


def rating_columns(rows: Sequence[Mapping[str, Any]]) -> RatingColumns | None:
    """Return the columns of a table of ratings of single answers; None if it does not look like one.

    A rater's column has only numbers on one scale of at most eleven steps, and some cells may be empty. Two
    of these are enough; a single one needs a name that says what it is, such as `stars`.
    """
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    texts = [name for name in names if _share_of_texts(rows, name) > _MOSTLY]
    raters = tuple(name for name in names if name not in texts and _is_rating(rows, name))
    named = tuple(name for name in raters if _RATED.search(name))
    raters = named or raters
    if not texts or len(texts) > 2 or (len(raters) < 2 and not named):
        return None
    prompt = None
    if len(texts) == 2:
        answers = [name for name in texts if _ANSWER_WORDS.search(name)]
        known = next((name for name in texts if name in PROMPT_COLUMNS), None) or likely_prompt(texts)
        prompt = known or next((name for name in texts if [name] != answers), texts[0])
    answer = next(name for name in texts if name != prompt)
    return RatingColumns(raters, answer, prompt, _case(rows, names, {*raters, *texts}))


def named_columns(given: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> RatingColumns:
    """Return the columns that options like `prompt=ASKED,answer=REPLY,rating=ANNA,rating=BEN` name.

    Raises:
        ConfigError: an option has another form, or there is no such column.
    """
    parts = [part.partition("=") for option in given for part in option.split(",") if part.strip()]
    pairs = [(ours.strip(), theirs.strip()) for ours, _, theirs in parts]
    known = list(dict.fromkeys(str(name) for row in rows for name in row))
    for ours, theirs in pairs:
        if ours not in (_PROMPT, _ANSWER, _CASE, _RATING):
            accepted = "prompt, answer, case, and rating for each rater"
            raise ConfigError(f"unknown column {ours!r}", where="--columns", accepted=accepted)
        if theirs not in known:
            accepted = f"one of {', '.join(known)}"
            raise ConfigError(f"no column {theirs!r}", where="--columns", accepted=accepted)
    found = dict(pairs)
    raters = tuple(theirs for ours, theirs in pairs if ours == _RATING)
    if not raters or _ANSWER not in found:
        raise ConfigError("ratings need an answer and raters", where="--columns", accepted=_EXAMPLE)
    return RatingColumns(raters, found[_ANSWER], found.get(_PROMPT), found.get(_CASE))


def read_ratings(path: Path, given: Sequence[str] = (), constitution: str | None = None) -> RatingsTable:
    """Return the rated answers of a file.

    Args:
        path: a table, in any form that labels are imported from.
        given: options of columns, as `named_columns` takes them; recognised if empty.
        constitution: the constitution to name in commands that lead on.

    Raises:
        ConfigError: a column does not exist.
        DataError: the file cannot be read, or has no ratings.
    """
    rows = list(label_rows(DataSource(str(path))))
    first = [row.values for row in islice(rows, _PEEKED) if isinstance(row.values, Mapping)]
    columns = named_columns(given, first) if given else rating_columns(first)
    if columns is None:
        if thumbs := thumbs_in(first):
            raise refuse_thumbs((row.values for row in rows), thumbs, str(path))
        raise _refuse_other_table(path, rows[:_PEEKED], constitution)
    left_out: Counter[str] = Counter()
    found = [one for row in rows if (one := _rated(row, columns, left_out)) is not None]
    if not found:
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise DataError(f"no rated answers: {reasons}", where=str(path), accepted="rows with ratings")
    values = [row.values for row in rows if isinstance(row.values, Mapping)]
    commas = tuple(n for n in columns.raters if any(has_decimal_comma(row.get(n)) for row in values))
    return RatingsTable(path, columns, tuple(found), dict(left_out), commas)


def _refuse_other_table(path: Path, first: Sequence[Row], constitution: str | None) -> DataError:
    """Return the error of a table that has no ratings of single answers, with what reads a table of pairs."""
    values = [row.values for row in first if isinstance(row.values, Mapping)]
    names = ", ".join(dict.fromkeys(str(name) for row in values for name in row)) or "none"
    columns = columns_to_import(first).removeprefix("; or ")
    imported = f"{shell_command('publius', 'import', 'labels', path, '--to', 'DIR')} {columns}".rstrip()
    if constitution is None:
        then = f"{imported} && publius agreement DIR"
    else:
        then = f"{imported}; then {rules_beside_folder('DIR', constitution)}"
    single = f"a table with an answer in each row and a column of numbers for each rater; or {_EXAMPLE}"
    return DataError(
        f"neither a folder of labels nor a table of ratings; its columns: {names[:200]}",
        where=str(path),
        accepted="a table of pairs, once it is imported" if columns else single,
        run=then if columns else then + ", if it is a table of pairs",
    )


def rules_beside_folder(folder: str | Path, constitution: str) -> str:
    """Return the commands that show the checks of a constitution beside the votes in a folder of labels."""
    label = shell_command(
        *("publius", "label", "--pairs", folder, "--constitution", constitution),
        *("--set", "label.principles=0"),
    )
    return f"{label}; then {shell_command('publius', 'agreement', folder, 'RUN')} with the run that it makes"


def _rated(row: Row, columns: RatingColumns, left_out: Counter[str]) -> AnswerRatings | None:
    """Return the answer of a row, or None if it has no answer or no rating, which is counted."""
    if row.problem is not None or not isinstance(row.values, Mapping):
        left_out["rows that cannot be read"] += 1
        return None
    answer = str(row.values.get(columns.answer) or "").strip()
    if not answer:
        left_out["rows without an answer"] += 1
        return None
    ratings = dict[str, float]()
    for rater in columns.raters:
        cell = row.values.get(rater)
        number = rating_of(cell)
        if number is not None:
            ratings[rater] = number
        elif may_be_thousands(cell):
            left_out[f"ratings of {rater} that may be in thousands or have a decimal comma"] += 1
        elif not _is_empty(cell):
            left_out[f"ratings of {rater} that are no number"] += 1
        else:
            left_out[f"answers that {rater} did not rate"] += 1
    if not ratings:
        left_out["rows without a rating"] += 1
        return None
    case = row.values.get(columns.case) if columns.case else None
    prompt = str(row.values.get(columns.prompt) or "") if columns.prompt else ""
    return AnswerRatings(str(row.number) if case is None else str(case), prompt, answer, ratings)


def _is_empty(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def rating_of(cell: Any) -> float | None:
    """Return the number in a cell, which may be text, also with a decimal comma; None if it has none."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    try:
        number = float_of(cell) if isinstance(cell, str) else float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _cells(rows: Iterable[Mapping[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows if not _is_empty(row.get(name))]


def _share_of_texts(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    cells = [cell for cell in _cells(rows, name) if isinstance(cell, str)]
    return (
        sum(is_long_text(cell) and rating_of(cell) is None for cell in cells) / len(cells) if cells else 0.0
    )


def _is_rating(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Return True if a column has only numbers on a scale, and does not count or name the rows."""
    cells = _cells(rows, name)
    numbers = [number for cell in cells if (number := rating_of(cell)) is not None]
    if not numbers or _NO_RATING.search(name) or len(numbers) < len(cells):
        return False
    if max(numbers) - min(numbers) >= _STEPS:
        return False
    return max(map(abs, numbers)) < 100 and all((2 * number).is_integer() for number in numbers)


def _case(rows: Sequence[Mapping[str, Any]], names: Sequence[str], taken: set[str]) -> str | None:
    """Return the first column that is filled in each row and tells the rows apart."""
    for name in names:
        cells = [str(cell) for cell in _cells(rows, name)]
        if name not in taken and len(cells) == len(rows) and len(set(cells)) == len(cells):
            return name
    return None
