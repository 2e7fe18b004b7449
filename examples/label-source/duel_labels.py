"""Votes of a duel: `{"ask": ..., "red": ..., "blue": ..., "vote": "red", "stars": 2, "voter": ...}`.

Install this package, and `publius import labels votes.jsonl --format duel --to labels` reads such a file; so
does `--format duel_labels:Duels` beside this module. `docs/human-labels.md` explains what a source must do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.conversations import shown, sides_of
from core.errors import RequestError
from labelers.formats.fields import annotator_name, maybe_number, required
from labelers.formats.opinions import Opinion, Outcome, pair_of
from labelers.formats.source import RowLabels, RowSource

VOTES: Mapping[str, Outcome] = {"red": "first", "blue": "second", "draw": "tie", "boo": "both_bad"}


class Duels(RowSource):
    """One vote a row. Red stands on the left; `stars` says by how much the winner won."""

    name = "duel"
    summary = "votes of a duel: ask, red, blue, vote (red, blue, draw or boo), stars, voter"
    columns = frozenset({"ask", "red", "blue", "vote", "stars", "voter"})

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like a vote: `--format auto` shows it."""
        return "it has the columns red, blue and vote" if {"red", "blue", "vote"} <= row.keys() else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row. What raises RequestError is dropped, counted and reported by Publius."""
        red, blue = required(values, "red"), required(values, "blue")
        sides = sides_of(required(values, "ask"), red, blue, ("red", "blue"))
        vote = required(values, "vote")
        if vote not in VOTES:
            raise RequestError("the vote is none of red, blue, draw and boo", detail=shown(vote))
        stars = maybe_number(values, "stars") or 0.0
        opinion = Opinion(
            verdict=VOTES[vote],
            annotator=annotator_name(values.get("voter")),
            shown_first="first",
            margin={"red": stars, "blue": -stars}.get(vote),
        )
        return RowLabels((number,), (pair_of(sides, [opinion], ("red", "blue")),))
