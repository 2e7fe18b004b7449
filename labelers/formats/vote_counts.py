"""Counts of votes in two columns of a table: each vote is an unnamed person's opinion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.conversations import shown
from core.errors import RequestError
from labelers.formats.fields import is_missing, number_of
from labelers.formats.opinions import Opinion

FOR_CHOSEN = (
    ("votes_for", "votes_against"),
    ("n_for", "n_against"),
    ("votes_chosen", "votes_rejected"),
    ("chosen_votes", "rejected_votes"),
    ("upvotes_chosen", "upvotes_rejected"),
    ("chosen_upvotes", "rejected_upvotes"),
    ("wins", "losses"),
)
"""Columns with the votes for the chosen answer and for the rejected one."""
FOR_FIRST = (("votes_a", "votes_b"), ("votes_for", "votes_against"))
"""Columns with the votes for `response_a` and for `response_b`."""
VOTE_COUNTS = frozenset(name for names in (*FOR_CHOSEN, *FOR_FIRST) for name in names)
_MOST = 1000
"""Maximum number of votes on a pair; each is a judgment of its own."""


def voted(values: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> list[Opinion]:
    """Return an opinion for each vote that a row counts, first the first answer's; empty without counts.

    Args:
        values: the row. One that names its annotator is that person's alone, and no count is read.
        columns: pairs of columns with the votes for the first and for the second answer; the first pair of
            which a row has both is read.

    Raises:
        RequestError: if a count is not a whole number of 0 or more, or there are no votes or too many.
    """
    if not is_missing(values.get("annotator")):
        return []
    for names in columns:
        if not any(is_missing(values.get(name)) for name in names):
            first, second = (_count(values[name], name) for name in names)
            break
    else:
        return []
    if not 0 < first + second <= _MOST:
        what = "more than 1,000 votes on a pair" if first + second else "there are no votes on the pair"
        raise RequestError(what, detail=f"{names[0]} {first}, {names[1]} {second}")
    verdicts = ("first",) * first + ("second",) * second
    return [Opinion(verdict=verdict, seat=seat) for seat, verdict in enumerate(verdicts, start=1)]


def _count(value: Any, name: str) -> int:
    """Return a cell's number of votes. Raises RequestError."""
    number = number_of(value, name)
    if number < 0 or not number.is_integer():
        raise RequestError(
            "a count of votes is not a whole number of 0 or more", detail=f"{name} {shown(value)}"
        )
    return int(number)
