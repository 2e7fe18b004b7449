"""Many annotators' votes to one probability for each comparison, by the method that the run file names.

`graded` (labelers/crowd/reliability.py) and `majority` take every vote as it is. `dawid-skene` is crowd-kit's
(Ustalov et al., "Learning from Crowds with Crowd-Kit", JOSS 2024) and takes plain choices of one weight: a
graded vote is rounded to its choice and a weight is passed over. It has a third kind of truth, that the
answers are equally good, and is given each comparison twice, once with the answers exchanged, so that no
share of `a`, which is decided by hash, is learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from core.lazy import require
from labelers.crowd.reliability import Crowd, graded_dawid_skene, reliabilities
from labelers.crowd.votes import Vote, by_comparison

Aggregation = Literal["graded", "majority", "dawid-skene"]

_EXTRA = "crowd"
_MIRRORED = {"a": "b", "b": "a", "tie": "tie"}


def aggregate_votes(votes: Sequence[Vote], method: Aggregation) -> Crowd:
    """Return the probability of `a` for each comparison with a vote, and each annotator's reliability.

    Args:
        votes: at most one of each annotator on each comparison; those that prefer nothing have no part.
        method: how they are put together.

    Raises:
        MissingExtraError: the method is crowd-kit's, and that is not installed.
    """
    voting = [vote for vote in votes if vote.p_a is not None]
    if method == "graded":
        return graded_dawid_skene(voting)
    p_a = _METHODS[method](voting) if voting else {}
    return Crowd(p_a, reliabilities([vote for vote in voting if vote.comparison_id in p_a], p_a))


def _majority(votes: Sequence[Vote]) -> dict[str, float]:
    """Return the share of the votes, by weight, that is for `a`; a tie is half a vote for each."""
    return {name: _share(found) for name, found in by_comparison(votes).items()}


def _share(votes: Sequence[Vote]) -> float:
    total = sum(vote.weight for vote in votes)
    return sum(vote.weight * vote.p_a for vote in votes if vote.p_a is not None) / total


def _dawid_skene(votes: Sequence[Vote]) -> dict[str, float]:
    """Return P(a) + P(tie) / 2 by Dawid and Skene's model over the choices a, b and tie."""
    rows = [
        (f"{side} {vote.comparison_id}", vote.annotator, choice)
        for vote in votes
        for side, choice in (("+", vote.choice), ("-", _MIRRORED[vote.choice]))
    ]
    model: Any = require("crowdkit.aggregation", _EXTRA).DawidSkene()
    table: Any = require("pandas", _EXTRA).DataFrame(rows, columns=["task", "worker", "label"])
    found = model.fit_predict_proba(table)
    found = found.reindex(columns=["a", "tie"], fill_value=0.0)  # a choice that nobody made has no column
    p_a = found["a"] + found["tie"] / 2
    return {vote.comparison_id: float(np.clip(p_a[f"+ {vote.comparison_id}"], 0, 1)) for vote in votes}


_METHODS: dict[str, Callable[[Sequence[Vote]], dict[str, float]]] = {
    "majority": _majority,
    "dawid-skene": _dawid_skene,
}
