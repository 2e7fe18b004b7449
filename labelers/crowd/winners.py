"""Which answers people prefer, by where the answers come from: a column of the file, a model, a draft.

A hash decides which answer is `a` in a comparison, so counts of `a` and `b` say nothing to a reader; the
origins of the answers do. Two answers of one origin tell nothing about origins and are counted apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from core.records import Judgment
from core.statistics.bootstrap import Floats, Interval, wilson
from core.statistics.clusters import cluster_places, design_effect
from labelers.crowd.votes import Choice, Vote, votes_in

Origins = Mapping[str, tuple[str, str]]
"""Where the answers `a` and `b` of each comparison come from, by its id."""
_OF_OURS = {
    "response_a": "the file's first answer",
    "response_b": "the file's second answer",
    "chosen": "the file's chosen answer",
    "rejected": "the file's rejected answer",
}
"""Names of answers whose file does not name them."""
_NUMBERED = re.compile(r"(\w+):(?:\w+:)?\d+")
_BY_VERDICT = {"chosen", "rejected"}
"""Origins that are the verdict itself, and say nothing of who won."""
_SHOWN = 5
"""Origins that are named in one line."""
_OF_A: Mapping[Choice, float] = {"a": 1.0, "tie": 0.5, "b": 0.0}


def kind_of_answer(origin: str) -> str:
    """Return the kind of an answer: of a run's own, such as `revision:2`, the name without the number."""
    numbered = _NUMBERED.fullmatch(origin)
    return numbered[1] if numbered else origin


def origin_in_words(origin: str) -> str:
    """Return the name of an answer's origin for people."""
    return _OF_OURS.get(origin, origin)


class Preferred(NamedTuple):
    """Votes on the answers of one origin, against those of any other."""

    origin: str
    preferred: float
    ties: float
    both_bad: float
    votes: float
    """All votes on its answers."""
    share: Interval | None
    """Share of the votes that are for it, ties as one half and without both bad, with its 95 % interval over
    prompts; None if all find both answers bad."""

    @property
    def name(self) -> str:
        """Its name for people."""
        return origin_in_words(self.origin)


@dataclass(frozen=True)
class WhoWon:
    """How often people preferred the answers of each origin."""

    answers: tuple[Preferred, ...]
    """By the share of votes, the highest first; empty if no two answers have different origins."""
    ties: float = 0.0
    both_bad: float = 0.0
    by_annotator: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """For each annotator the votes for each origin, ties and both bad."""
    alike: float = 0.0
    """Votes on two answers of one origin, which are not in the other numbers."""

    def in_words(self) -> str:
        """Return who was preferred how often, in one line; empty without origins that differ."""
        return preferred_in_words(
            {one.origin: one.preferred for one in self.answers}, self.ties, self.both_bad
        )

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON-able values."""
        return {
            "in_words": self.in_words(),
            "answers": [
                {**one._asdict(), "name": one.name, "share": one.share and one.share._asdict()}
                for one in self.answers
            ],
            "ties": self.ties,
            "both_bad": self.both_bad,
            "by_annotator": {name: dict(votes) for name, votes in self.by_annotator.items()},
            "votes_on_one_origin": self.alike,
        }


def preferred_in_words(preferred: Mapping[str, float], ties: float, both_bad: float) -> str:
    """Return counts as in `new preferred in 23, old in 1, 2 ties`; empty without an origin.

    Args:
        preferred: the votes for each origin, in the order of the line.
        ties: votes that are ties.
        both_bad: votes that find both answers bad.
    """
    if not preferred:
        return ""
    named = list(preferred.items())
    parts = [f"{origin_in_words(name)} in {number_of_votes(count)}" for name, count in named[:_SHOWN]]
    parts[0] = f"{origin_in_words(named[0][0])} preferred in {number_of_votes(named[0][1])}"
    if len(named) > _SHOWN:
        rest = number_of_votes(sum(count for _, count in named[_SHOWN:]))
        parts.append(f"{len(named) - _SHOWN:,} others in {rest}")
    parts.append(f"{number_of_votes(ties)} {'tie' if ties == 1 else 'ties'}")
    if both_bad:
        parts.append(f"{number_of_votes(both_bad)} both bad")
    return ", ".join(parts)


def number_of_votes(votes: float) -> str:
    """Return a number of votes, which weights may make a fraction."""
    return f"{votes:,.0f}" if float(votes).is_integer() else f"{votes:,.1f}"


def who_won(votes: Iterable[Vote], origins: Origins, prompts: Mapping[str, str]) -> WhoWon:
    """Return how often people preferred the answers of each origin.

    Args:
        votes: votes, at most one per annotator and case (`votes_by_occasion`); those of machines are ignored.
        origins: where the answers of the comparisons come from; votes on others are ignored.
        prompts: the prompt of each case, whose votes are not independent of each other.
    """
    found: dict[str, list[tuple[Vote, float | None]]] = {}
    people: dict[str, dict[str, float]] = {}
    ties = both_bad = alike = 0.0
    for vote in votes:
        a, b = map(kind_of_answer, origins.get(vote.comparison_id.partition("/")[0], ("", "")))
        if vote.is_machine or not a or not b or {a, b} == _BY_VERDICT:
            continue
        if a == b:
            alike += vote.weight
            continue
        p_a = _OF_A.get(vote.choice)
        found.setdefault(a, []).append((vote, p_a))
        found.setdefault(b, []).append((vote, None if p_a is None else 1 - p_a))
        said = {"a": a, "b": b}.get(vote.choice, vote.choice)
        own = people.setdefault(vote.annotator, {})
        own[said] = own.get(said, 0.0) + vote.weight
        ties += vote.weight * (vote.choice == "tie")
        both_bad += vote.weight * (vote.choice == "both_bad")
    answers = [_preferred(origin, given, prompts) for origin, given in found.items()]
    answers.sort(key=lambda one: (-(one.share.value if one.share else -1.0), one.origin))
    names = [one.origin for one in answers]
    ordered = {
        who: {said: own[said] for said in (*names, "tie", "both_bad") if said in own}
        for who, own in sorted(people.items())
    }
    return WhoWon(tuple(answers), ties, both_bad, ordered, alike)


def _preferred(
    origin: str, given: Sequence[tuple[Vote, float | None]], prompts: Mapping[str, str]
) -> Preferred:
    decided = [(vote, p) for vote, p in given if p is not None]
    share = None
    if decided:
        values = np.array([p for _, p in decided])
        weights = np.array([vote.weight for vote, _ in decided])
        asked = [prompts.get(vote.comparison_id, vote.comparison_id) for vote, _ in decided]
        share = wilson(float(np.average(values, weights=weights)), _trials(values, weights, asked))
    return Preferred(
        origin,
        sum(vote.weight for vote, p in decided if p == 1),
        sum(vote.weight for vote, p in decided if p == _OF_A["tie"]),
        sum(vote.weight for vote, p in given if p is None),
        sum(vote.weight for vote, _ in given),
        share,
    )


def _trials(values: Floats, weights: Floats, prompts: Sequence[str]) -> float:
    """Return the number of independent votes that votes on few prompts are worth.

    A vote of a weight above 1 is as many votes. If all votes are for the same, nothing tells how alike those
    on one prompt are, and each prompt counts as one.
    """
    places, count = cluster_places(prompts)
    if count < 2 or np.all(values == values[0]):
        return float(count)
    return float(weights.sum()) / design_effect(values, weights, places.tolist())


class VoteTally:
    """Counts judgments by the origins of their answers, one at a time, as a file is imported."""

    def __init__(self) -> None:
        self.preferred: dict[str, float] = {}
        self.ties = self.both_bad = self.alike = 0.0

    def add(self, judgment: Judgment, origin_a: str, origin_b: str) -> None:
        """Count a judgment of a comparison."""
        weight = votes_in(judgment)
        origin_a, origin_b = kind_of_answer(origin_a), kind_of_answer(origin_b)
        if judgment.verdict in ("skip", "unparsed"):
            return
        if not origin_a or origin_a == origin_b:
            self.alike += weight
            return
        for origin in (origin_a, origin_b):
            self.preferred.setdefault(origin, 0.0)
        if judgment.verdict in ("a", "b"):
            self.preferred[origin_a if judgment.verdict == "a" else origin_b] += weight
        self.ties += weight * (judgment.verdict == "tie")
        self.both_bad += weight * (judgment.verdict == "both_bad")

    def as_json(self) -> dict[str, Any]:
        """Return the counts; empty if no judgment is on answers of two origins."""
        if not self.preferred:
            return {}
        ordered = dict(sorted(self.preferred.items(), key=lambda entry: -entry[1]))
        return {
            "preferred": ordered,
            "ties": self.ties,
            "both_bad": self.both_bad,
            "on_one_origin": self.alike,
            "in_words": preferred_in_words(ordered, self.ties, self.both_bad),
        }
