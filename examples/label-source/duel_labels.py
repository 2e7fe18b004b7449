"""Votes of a duel: `{"ask": ..., "red": ..., "blue": ..., "vote": "red", "stars": 2, "voter": ...}`.

With this package installed, `publius import labels votes.jsonl --format duel --to labels` reads such a file.
Without installing it, pass `--format duel_labels:Duels` in this folder. `docs/human-labels.md` describes the
protocol of a source.
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
    """One vote per row. Red is on the left; `stars` is the winner's margin."""

    name = "duel"
    summary = "votes of a duel: ask, red, blue, vote (red, blue, draw or boo), stars, voter"
    columns = frozenset({"ask", "red", "blue", "vote", "stars", "voter"})

    def recognises(self, row: Mapping[str, Any]) -> str | None:
        """Return why a row looks like a vote, which `--format auto` prints, or None."""
        return "it has the columns red, blue and vote" if {"red", "blue", "vote"} <= row.keys() else None

    def labels_of(self, values: Mapping[str, Any], number: int) -> RowLabels:
        """Return the pair of a row. Publius drops, counts and reports a row that raises RequestError."""
        red, blue = required(values, "red"), required(values, "blue")
        sides = sides_of(required(values, "ask"), red, blue, ("red", "blue"))
        vote = required(values, "vote")
        if vote not in VOTES:
            raise RequestError("the vote is not red, blue, draw or boo", detail=shown(vote))
        stars = maybe_number(values, "stars") or 0.0
        opinion = Opinion(
            verdict=VOTES[vote],
            annotator=annotator_name(values.get("voter")),
            shown_first="first",
            margin={"red": stars, "blue": -stars}.get(vote),
        )
        return RowLabels((number,), (pair_of(sides, [opinion], ("red", "blue")),))
