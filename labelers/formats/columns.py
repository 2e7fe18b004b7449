"""Read any table of comparisons with these columns; the user may map other names to them.

prompt, response_a, response_b       text, or messages; without prompt the responses are conversations
system                               system message before the prompt (other names: prompt_columns.py)
verdict                              a, b, tie, both_bad, skip (also left, right, response_1, model_a)
rating_a, rating_b                   instead of a verdict: their difference is the margin
p_a                                  instead of a verdict: probability that response_a is better
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
    maybe_number,
    maybe_text,
    number_of,
    outcome_of,
    present,
    required,
)
from labelers.formats.opinions import Outcome, Side, outcome_by, pair_of
from labelers.formats.prompt_columns import PROMPT_COLUMNS, sides_in
from labelers.formats.source import RowLabels, RowSource, Skipped

NAMES = ("response_a", "response_b")
TARGETS = (
    ANNOTATION_COLUMNS
    | PROMPT_COLUMNS
    | frozenset(
        {*NAMES, "verdict", "rating_a", "rating_b", "p_a", "shown_first", "margin", "weight"}
        | {"origin_a", "origin_b"}
    )
)
"""The columns that are read; other columns may be mapped to them."""


class Columns(RowSource):
    """A table with one opinion on two responses per row."""

    name = "columns"
    summary = "a table with prompt, response_a, response_b and verdict, or columns mapped to these"
    columns = TARGETS

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like such a table, or None."""
        by = present(row, ("verdict", "rating_a", "p_a")) if set(NAMES) <= row.keys() else None
        return f"it has the columns response_a, response_b and {by}" if by else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, response_a first."""
        sides = _sides(values)
        outcome, margin = _outcome(values)
        skipped: list[Skipped] = []
        weight = maybe_number(values, "weight")
        given = optional(lambda: maybe_number(values, "margin"), skipped)
        opinion = opinion_of(
            values,
            skipped,
            verdict=outcome,
            p_first=maybe_number(values, "p_a"),
            margin=margin if given is None else given,
            weight=1.0 if weight is None else weight,
            shown_first=_shown_first(values),
        )
        pair = pair_of(sides, [opinion], _origins(values), cell_tags(values.get("tags")))
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
        sides = _sides(values)
        pair = pair_of(sides, (), _origins(values), cell_tags(values.get("tags")))
        return RowLabels((number,), (pair,), notes=oddities(sides.prompt))


def _origins(values: Mapping[str, Any]) -> tuple[str, str]:
    return maybe_text(values, "origin_a") or NAMES[0], maybe_text(values, "origin_b") or NAMES[1]


def _sides(values: Mapping[str, Any]) -> Sides:
    """Return the prompt and the answers of a row; cells may hold messages as JSON."""
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
        required(values, "verdict")
    ratings = [number_of(required(values, name), name) for name in ("rating_a", "rating_b")]
    return outcome_by(ratings[0] - ratings[1]), ratings[0] - ratings[1]


def _shown_first(values: Mapping[str, Any]) -> Side | None:
    if is_missing(values.get("shown_first")):
        return None
    side = outcome_of(values["shown_first"], "shown_first")
    if side == "first" or side == "second":
        return side
    raise RequestError("shown_first must be a or b", detail=shown(values["shown_first"]))
