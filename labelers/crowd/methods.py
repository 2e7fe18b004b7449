"""Aggregate several annotators' votes into one probability per comparison, by `label.aggregation`.

`graded` (labelers/crowd/reliability.py) and `majority` use every vote as it is. `dawid-skene` is crowd-kit's
implementation (Ustalov et al., "Learning from Crowds with Crowd-Kit", JOSS 2024), which takes unweighted
discrete choices: a graded vote is rounded to its choice and weights are ignored. It has a third class, "the
answers are equally good". Each comparison is passed twice, the second time with the answers swapped: which
answer is `a` is decided by a hash, so the model must not learn a prior for `a`.
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
        votes: at most one per annotator and comparison; votes without a probability are ignored.
        method: the aggregation method.

    Raises:
        MissingExtraError: if the method is `dawid-skene` and crowd-kit is not installed.
    """
    voting = [vote for vote in votes if vote.p_a is not None]
    if method == "graded":
        return graded_dawid_skene(voting)
    p_a = _METHODS[method](voting) if voting else {}
    return Crowd(p_a, reliabilities([vote for vote in voting if vote.comparison_id in p_a], p_a))


def _majority(votes: Sequence[Vote]) -> dict[str, float]:
    """Return the weighted share of votes for `a`; a tie is half a vote for each answer."""
    return {name: _share(found) for name, found in by_comparison(votes).items()}


def _share(votes: Sequence[Vote]) -> float:
    total = sum(vote.weight for vote in votes)
    return sum(vote.weight * vote.p_a for vote in votes if vote.p_a is not None) / total


def _dawid_skene(votes: Sequence[Vote]) -> dict[str, float]:
    """Return P(a) + P(tie) / 2 under Dawid and Skene's model over the choices a, b and tie."""
    rows = [
        (f"{side} {vote.comparison_id}", vote.annotator, choice)
        for vote in votes
        for side, choice in (("+", vote.choice), ("-", _MIRRORED[vote.choice]))
    ]
    model: Any = require("crowdkit.aggregation", _EXTRA).DawidSkene()
    table: Any = require("pandas", _EXTRA).DataFrame(rows, columns=["task", "worker", "label"])
    found = model.fit_predict_proba(table)
    found = found.reindex(columns=["a", "tie"], fill_value=0.0)  # a choice without votes has no column
    p_a = found["a"] + found["tie"] / 2
    return {vote.comparison_id: float(np.clip(p_a[f"+ {vote.comparison_id}"], 0, 1)) for vote in votes}


_METHODS: dict[str, Callable[[Sequence[Vote]], dict[str, float]]] = {
    "majority": _majority,
    "dawid-skene": _dawid_skene,
}
