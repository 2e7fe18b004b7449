"""Read any table of comparisons with these columns; the user may map other names to them.

prompt, response_a, response_b       text, or messages; without prompt the responses are conversations
system                               system message before the prompt (other names: prompt_columns.py)
verdict                              a, b, tie, both_bad, skip (also left, right, response_1, model_a)
rating_a, rating_b                   instead of a verdict: their difference is the margin
p_a                                  instead of a verdict: probability that response_a is better
votes_a, votes_b                     instead of a verdict: numbers of people who prefer each of them
annotator, dimension, shown_first, margin, confidence, comment, duration_s, created, weight,
origin_a, origin_b, tags             optional
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.conversations import Sides, oddities, shown
from core.errors import RequestError
from labelers.formats.annotation_columns import ANNOTATION_COLUMNS, cell_tags, opinion_of, optional
from labelers.formats.fields import (
    from_json_text,
    is_missing,
    is_outcome,
    maybe_number,
    maybe_text,
    number_of,
    outcome_of,
    present,
    required,
)
from labelers.formats.opinions import Opinion, Outcome, Side, outcome_by, pair_of
from labelers.formats.prompt_columns import PROMPT_COLUMNS, sides_in
from labelers.formats.source import RowLabels, RowSource, Skipped, refusal
from labelers.formats.vote_counts import FOR_FIRST, VOTE_COUNTS, voted

NAMES = ("response_a", "response_b")
_COLUMNS_OF_ANSWERS = (*NAMES, "chosen", "rejected")
"""Origins of answers that are those of columns, and name no model or draft."""
TARGETS = (
    ANNOTATION_COLUMNS
    | PROMPT_COLUMNS
    | frozenset(
        {*NAMES, "verdict", "rating_a", "rating_b", "p_a", "shown_first", "margin", "weight"}
        | {"origin_a", "origin_b", "votes_a", "votes_b", "votes_for", "votes_against"}
    )
)
"""The columns that are read; other columns may be mapped to them."""


MARGIN_AGAINST_VERDICT = (
    "the margin contradicts the verdict: it is that of a over b, negative where b is better"
)


class ListedCells(tuple[Any, ...]):
    """The cells of one of our columns, one for each element of a list in the row."""


LISTED = TARGETS - PROMPT_COLUMNS - VOTE_COUNTS - {*NAMES, "origin_a", "origin_b", "tags"}
"""The columns of an opinion, which a row may have once for each element of a list."""


class Columns(RowSource):
    """A table with one opinion on two responses per row, or a list of opinions (`ListedCells`)."""

    name = "columns"
    summary = "a table with prompt, response_a, response_b and verdict, or columns mapped to these"
    columns = TARGETS

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like such a table, or None."""
        by = (
            present(row, ("verdict", "rating_a", "p_a", "votes_a", "votes_for"))
            if set(NAMES) <= row.keys()
            else None
        )
        return f"it has the columns response_a, response_b and {by}" if by else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, response_a first."""
        sides = cell_sides(values)
        skipped: list[Skipped] = []
        if any(isinstance(cell, ListedCells) for cell in values.values()):
            opinions = _listed_opinions(values, skipped)
        else:
            votes = [] if not is_missing(values.get("p_a")) else voted(values, FOR_FIRST)
            opinions = votes or [_opinion(values, skipped)]
        pair = pair_of(sides, opinions, cell_origins(values), cell_tags(values.get("tags")))
        return RowLabels((number,), (pair,), tuple(skipped), oddities(sides.prompt))


class UnjudgedColumns(RowSource):
    """A table with two responses per row; a verdict is not read."""

    name = "pairs"
    summary = "a table with prompt, response_a and response_b, or columns mapped to these"
    columns = PROMPT_COLUMNS | {*NAMES, "origin_a", "origin_b", "tags"}

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like such a table, or None."""
        return "it has the columns response_a and response_b" if set(NAMES) <= row.keys() else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, response_a first, without an opinion."""
        sides = cell_sides(values)
        pair = pair_of(sides, (), cell_origins(values), cell_tags(values.get("tags")))
        return RowLabels((number,), (pair,), notes=oddities(sides.prompt))


def _opinion(values: Mapping[str, Any], skipped: list[Skipped]) -> Opinion:
    outcome, margin = _outcome(values)
    weight = maybe_number(values, "weight")
    given = optional(lambda: maybe_number(values, "margin"), skipped)
    if given is not None and (given < 0 if outcome == "first" else outcome == "second" and given > 0):
        skipped.append(Skipped(MARGIN_AGAINST_VERDICT, f"verdict {values.get('verdict')}, margin {given:g}"))
        given = None
    return opinion_of(
        values,
        skipped,
        verdict=outcome,
        p_first=maybe_number(values, "p_a"),
        margin=margin if given is None else given,
        weight=1.0 if weight is None else weight,
        shown_first=_shown_first(values),
    )


def _listed_opinions(values: Mapping[str, Any], skipped: list[Skipped]) -> list[Opinion]:
    """Return the opinion of each element of the lists in a row; one that has none is skipped.

    Raises:
        RequestError: if no element has an opinion, or lists differ in length.
    """
    listed = {name: cell for name, cell in values.items() if isinstance(cell, ListedCells)}
    lengths = {name: len(cells) for name, cells in listed.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise RequestError("the lists of a row differ in length", detail=said)
    found = []
    for seat in range(max(lengths.values())):
        one = {**values, **{name: cells[seat] for name, cells in listed.items()}}
        try:
            opinion = _opinion(one, skipped)
        except RequestError as error:
            skipped.append(Skipped(error.reason, f"element {seat}: {error.detail}".rstrip(": ")))
            continue
        found.append(opinion if opinion.annotator else opinion.model_copy(update={"seat": seat}))
    if not found:
        raise refusal(skipped, "the list of verdicts is empty")
    return found


def names_one(origin: str) -> bool:
    """Return whether an origin is a name of the answer: neither empty nor one of our columns."""
    return bool(origin) and origin not in _COLUMNS_OF_ANSWERS


def best_named(known: tuple[str, str], found: tuple[str, str]) -> tuple[str, str]:
    """Return the origins of two answers that two places have: a name goes before that of a column."""
    first, second = (
        new if not old or (names_one(new) and not names_one(old)) else old
        for old, new in zip(known, found, strict=True)
    )
    return first, second


def cell_origins(values: Mapping[str, Any]) -> tuple[str, str]:
    """Return where the answers of a row come from; the names of our columns if it does not say so."""
    return maybe_text(values, "origin_a") or NAMES[0], maybe_text(values, "origin_b") or NAMES[1]


def cell_sides(values: Mapping[str, Any]) -> Sides:
    """Return the prompt and the answers of a row; cells may hold messages as JSON.

    Raises:
        RequestError: if an answer is empty, or the prompt or an answer cannot be read.
    """
    cells = {name: _cell(value) for name, value in values.items() if name in PROMPT_COLUMNS or name in NAMES}
    for name in NAMES:
        if is_missing(cells.get(name)):
            raise RequestError("an answer is empty", detail=f"in {name}")
    if is_missing(cells.get("prompt")):
        cells.pop("prompt", None)
    return sides_in(cells, NAMES).sides


def _cell(value: Any) -> Any:
    """Return a cell: messages if it is a JSON list of them, otherwise its value as it is."""
    found = from_json_text(value) if isinstance(value, str) else value
    return found if isinstance(found, list) and found and isinstance(found[0], Mapping) else value


def _outcome(values: Mapping[str, Any]) -> tuple[Outcome, float | None]:
    """Return the outcome of a row, and the margin if the outcome comes from ratings."""
    if not is_missing(values.get("verdict")):
        return outcome_of(values["verdict"]), None
    if not is_missing(values.get("p_a")):
        p_a = number_of(values["p_a"], "p_a")
        if not 0 <= p_a <= 1:
            raise RequestError("p_a must be between 0 and 1", detail=shown(values["p_a"]))
        return outcome_by(p_a - 0.5), None
    if is_missing(values.get("rating_a")):
        required(values, "verdict", "rating_a", "p_a")
    ratings = [number_of(required(values, name), name) for name in ("rating_a", "rating_b")]
    return outcome_by(ratings[0] - ratings[1]), ratings[0] - ratings[1]


def _shown_first(values: Mapping[str, Any]) -> Side | None:
    if is_missing(values.get("shown_first")):
        return None
    word = values["shown_first"]
    side = outcome_of(word, "shown_first") if is_outcome(word) else None
    if side == "first" or side == "second":
        return side
    raise RequestError("shown_first must be a or b; --shown-first says it of all rows", detail=shown(word))
