"""Thumbs, one answer in each row and whether it is good, where pairs are wanted: what they are for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from core.errors import DataError, RequestError, shell_command
from core.notices import counted
from publius.sources.answer_rows import COMPLETIONS, labels_in
from publius.sources.column_names import ColumnNames
from publius.sources.pair_rows import SIDES, KtoPairs
from publius.sources.rows import SourceRow

_TRL = ("prompt", "completion", "label")
"""The columns that TRL's KTOTrainer reads."""
_THUMBS = (
    *("thumbs", "thumb", "thumbs_up", "liked", "like", "feedback", "user_feedback", "vote", "reaction"),
    *("rating", "is_good", "good", "helpful", "upvoted"),
)
"""Names of columns of thumbs besides ours."""
_TWO_ANSWERS = (SIDES, frozenset({"response_a", "response_b"}))


class Thumbs(NamedTuple):
    """The columns of a table of thumbs."""

    column: str
    """The column that says whether an answer is good."""
    columns: Mapping[str, str]
    """The file's column for each of ours, where the names differ."""
    is_trl: bool
    """True if TRL's KTOTrainer reads the table as it is."""


def thumbs_in(rows: Sequence[Any]) -> Thumbs | None:
    """Return the columns of a table of thumbs; None if it is none.

    Args:
        rows: the first rows as they were read.
    """
    values = [row for row in rows if isinstance(row, Mapping)]
    if not values or any(sides <= row.keys() for row in values for sides in _TWO_ANSWERS):
        return None
    renamed: dict[str, str] = {}
    if "reply" in values[0] and not any(name in values[0] for name in COMPLETIONS):
        renamed["completion"] = "reply"
    column = labels_in(values).column
    if column is None:
        column = next((name for name in _own_names(values) if _is_thumbs(values, name)), None)
        renamed |= {} if column is None else {"label": column}
    if column is None:
        return None
    labels = labels_in(row.values for row in _applied(values, renamed))
    if labels.column is None or not any(KtoPairs.reads(row.values) for row in _applied(values, renamed)):
        return None
    is_trl = values[0].keys() >= set(_TRL) and isinstance(values[0][_TRL[-1]], bool)
    return Thumbs(column, renamed, is_trl)


def refuse_thumbs(rows: Iterable[Any], thumbs: Thumbs, where: str) -> DataError:
    """Return the error of a table of thumbs where pairs are wanted.

    Args:
        rows: all rows of the table as they were read.
        thumbs: its columns.
        where: the file or data set.
    """
    values = [row for row in rows if isinstance(row, Mapping)]
    applied = [row.values for row in _applied(values, thumbs.columns)]
    pairs = KtoPairs(labels_in(applied))
    for number, row in enumerate(applied):
        with suppress(RequestError):
            pairs.pairs_of(row, str(number), Counter())
    return DataError(
        f"thumbs, one answer in each row and whether it is good ({thumbs.column}), and not pairs",
        where=where,
        accepted=what_thumbs_are_for(where, thumbs, pairs),
    )


def what_thumbs_are_for(where: str, thumbs: Thumbs, pairs: KtoPairs) -> str:
    """Return where pairs can be made of thumbs, and what can be done with them as they are, in words."""
    mapped = ",".join(f"{ours}={theirs}" for ours, theirs in thumbs.columns.items())
    columns = ("--columns", mapped) if mapped else ()
    both, prompts = pairs.with_both, counted(pairs.prompts, "prompt")
    made = f"{both:,} of {prompts}"
    if both:
        made += f": {shell_command('publius', 'train', 'dpo', '--data', where, '--to', 'DIR', *columns)}"
    judge = shell_command("publius", "train", "judge", "--labelled", where, "--to", "DIR", *columns)
    check = shell_command("publius", "check", "RULES.yaml", "--replies", where, "--by", thumbs.column)
    trl = "as it is" if thumbs.is_trl else f"with its columns as {', '.join(_TRL)} (true or false)"
    return (
        f"pairs, which train dpo and train reward make where a prompt has answers with both labels ({made}); "
        f"thumbs as they are serve {judge}, {check}, and TRL's KTOTrainer (the file {trl})"
    )


def _own_names(values: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns whose names say that they are thumbs, as they are written."""
    names = dict.fromkeys(str(name) for row in values for name in row)
    return [name for name in names if "_".join(name.split()).casefold() in _THUMBS]


def _is_thumbs(values: Sequence[Mapping[str, Any]], name: str) -> bool:
    return labels_in({"label": row.get(name)} for row in values).column is not None


def _applied(values: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> list[SourceRow]:
    return list(ColumnNames(dict(columns)).applied(SourceRow("", row) for row in values))
