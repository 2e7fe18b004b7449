"""Many annotators' votes to one probability for each comparison, by the method that the run file names.

`graded` (labelers/crowd/reliability.py) and `majority` take every vote as it is. The methods of crowd-kit
(Ustalov et al., "Learning from Crowds with Crowd-Kit", JOSS 2024) take plain choices of one weight: a graded
vote is rounded to its choice and a weight is passed over. `dawid-skene` has a third kind of truth, that the
answers are equally good, and is given each comparison twice, once with the answers exchanged, so that no
share of `a`, which is decided by hash, is learned. `noisy-bradley-terry` (Bugakova et al. 2019) gives each
answer a score, so that the pairs of one ranking speak for each other; it knows no ties, which are left out
there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from core.errors import DataError
from core.lazy import require
from core.records import Comparison
from labelers.crowd.reliability import Crowd, graded_dawid_skene, reliabilities
from labelers.crowd.votes import Vote, by_comparison

Aggregation = Literal["graded", "majority", "dawid-skene", "noisy-bradley-terry"]

EXTRA = "crowd"
_MIRRORED = {"a": "b", "b": "a", "tie": "tie"}
_SHRINK = 0.01
"""What holds scores of answers together, relative to a vote: without it those of an answer that always won
are infinite."""

Comparisons = Mapping[str, Comparison]


def aggregate_votes(votes: Sequence[Vote], method: Aggregation, comparisons: Comparisons) -> Crowd:
    """Return the probability of `a` for each comparison with a vote, and each annotator's reliability.

    Args:
        votes: at most one of each annotator on each comparison; those that prefer nothing have no part.
        method: how they are put together.
        comparisons: by id; only `noisy-bradley-terry` looks at them.

    Raises:
        MissingExtraError: the method is crowd-kit's, and that is not installed.
        DataError: `noisy-bradley-terry` finds no finite scores.
    """
    voting = [vote for vote in votes if vote.p_a is not None]
    if method == "graded":
        return graded_dawid_skene(voting)
    p_a = _METHODS[method](voting, comparisons) if voting else {}
    return Crowd(p_a, reliabilities([vote for vote in voting if vote.comparison_id in p_a], p_a))


def _majority(votes: Sequence[Vote], comparisons: Comparisons) -> dict[str, float]:
    """Return the share of the votes, by weight, that is for `a`; a tie is half a vote for each."""
    return {name: _share(found) for name, found in by_comparison(votes).items()}


def _share(votes: Sequence[Vote]) -> float:
    total = sum(vote.weight for vote in votes)
    return sum(vote.weight * vote.p_a for vote in votes if vote.p_a is not None) / total


def _dawid_skene(votes: Sequence[Vote], comparisons: Comparisons) -> dict[str, float]:
    """Return P(a) + P(tie) / 2 by Dawid and Skene's model over the choices a, b and tie."""
    rows = [
        (f"{side} {vote.comparison_id}", vote.annotator, choice)
        for vote in votes
        for side, choice in (("+", vote.choice), ("-", _MIRRORED[vote.choice]))
    ]
    found: Any = _crowd_kit().DawidSkene().fit_predict_proba(_table(rows, ("task", "worker", "label")))
    found = found.reindex(columns=["a", "tie"], fill_value=0.0)  # a choice that nobody made has no column
    p_a = found["a"] + found["tie"] / 2
    return {vote.comparison_id: float(np.clip(p_a[f"+ {vote.comparison_id}"], 0, 1)) for vote in votes}


def _noisy_bradley_terry(votes: Sequence[Vote], comparisons: Comparisons) -> dict[str, float]:
    """Return sigmoid(s_a - s_b), s the score of an answer; one half where there are only ties."""
    sides = {vote.comparison_id: _answers(comparisons[vote.comparison_id]) for vote in votes}
    rows = [
        (vote.annotator, *sides[vote.comparison_id], sides[vote.comparison_id][vote.choice == "b"])
        for vote in votes
        if vote.choice in ("a", "b")
    ]
    if not rows:
        return {vote.comparison_id: 0.5 for vote in votes}
    model: Any = _crowd_kit().NoisyBradleyTerry(regularization_ratio=_SHRINK)
    with np.errstate(all="ignore"):  # its line search tries scores whose exponentials overflow
        scores = model.fit(_table(rows, ("worker", "left", "right", "label"))).scores_.clip(1e-9, 1 - 1e-9)
    if not np.isfinite(scores.to_numpy()).all():
        raise DataError(
            "crowd-kit finds no scores for these votes",
            where="label.aggregation: noisy-bradley-terry",
            accepted="graded, majority or dawid-skene",
        )
    level = np.log(scores / (1 - scores)).to_dict()
    lead = {name: level.get(a, 0.0) - level.get(b, 0.0) for name, (a, b) in sides.items()}
    return {name: float((1 + np.tanh(gap / 2)) / 2) for name, gap in lead.items()}


def _answers(comparison: Comparison) -> tuple[str, str]:
    """Return names of the two answers that are the same in every comparison of the prompt."""
    prompt = comparison.prompt.id
    return f"{prompt} {comparison.response_a}", f"{prompt} {comparison.response_b}"


def _crowd_kit() -> Any:
    return require("crowdkit.aggregation", EXTRA)


def _table(rows: Sequence[tuple[str, ...]], columns: tuple[str, ...]) -> Any:
    return require("pandas", EXTRA).DataFrame(rows, columns=list(columns))


_METHODS: dict[str, Callable[[Sequence[Vote], Comparisons], dict[str, float]]] = {
    "majority": _majority,
    "dawid-skene": _dawid_skene,
    "noisy-bradley-terry": _noisy_bradley_terry,
}
