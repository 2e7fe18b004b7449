"""Read TRL's preference data: `chosen` and `rejected`, with or without `prompt`, as text or as messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.conversations import oddities, sides_of
from core.errors import RequestError
from labelers.formats.annotation_columns import ANNOTATION_COLUMNS, cell_tags, opinion_of
from labelers.formats.fields import is_missing, maybe_number, maybe_text, required
from labelers.formats.opinions import Outcome, pair_of
from labelers.formats.source import RowLabels, RowSource

_SCORES = ("score_chosen", "score_rejected")
_SOURCES = ("source", "section", "subset")


class TrlPreferences(RowSource):
    """Preferences with explicit or implicit prompts; the margin is `margin` or the score difference."""

    name = "trl"
    summary = "TRL's preference data: chosen and rejected, with or without prompt, text or messages, margin"
    columns = (
        frozenset({"prompt", "chosen", "rejected", "margin", "p_chosen", "weight", *_SCORES, *_SOURCES})
        | ANNOTATION_COLUMNS
    )

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like TRL's data, or None."""
        return "it has the columns chosen and rejected" if {"chosen", "rejected"} <= row.keys() else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row, the chosen answer first."""
        chosen, rejected = required(values, "chosen"), required(values, "rejected")
        prompt = None if is_missing(values.get("prompt")) else values["prompt"]
        sides = sides_of(prompt, chosen, rejected)
        p_chosen = maybe_number(values, "p_chosen")
        weight = maybe_number(values, "weight")
        opinion = opinion_of(
            values,
            verdict=_outcome(p_chosen),
            p_first=p_chosen,
            margin=_margin(values),
            weight=1.0 if weight is None else weight,
        )
        source = maybe_text(values, *_SOURCES)
        tags = (*cell_tags(values.get("tags")), *((source,) if source else ()))
        pair = pair_of(sides, [opinion], ("chosen", "rejected"), tags)
        return RowLabels((number,), (pair,), notes=oddities(sides.prompt))


def _outcome(p_chosen: float | None) -> Outcome:
    if p_chosen is not None and not 0 <= p_chosen <= 1:
        raise RequestError("p_chosen must be between 0 and 1", detail=str(p_chosen))
    if p_chosen is None or p_chosen > 0.5:
        return "first"
    return "tie" if p_chosen == 0.5 else "second"


def _margin(values: Mapping[str, Any]) -> float | None:
    margin = maybe_number(values, "margin")
    if margin is not None:
        return margin
    scores = [maybe_number(values, name) for name in _SCORES]
    chosen, rejected = scores
    return None if chosen is None or rejected is None else chosen - rejected
