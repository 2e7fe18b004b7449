"""From judgments to votes: what one annotator says of one comparison, once.

A vote is a probability that `a` is the better answer. A person who chose an answer votes 1 or 0, or the
number that came with the choice; a tie is half a vote for each. `both_bad` is no tie: it says nothing of
which answer is better, is counted apart, and is never half a vote. `skip` and `unparsed` are no votes, and a
judgment that a later one supersedes is none either.

Several judgments of one comparison by one annotator (under several principles or dimensions, or asked twice)
are one vote, their mean by weight: they are not independent, and must not count as several people.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from core.records import Judgment

MACHINES = frozenset({"ai", "check"})
"""Labelers that are no people. Every other labeler is a source of people's judgments."""

Choice = Literal["a", "b", "tie", "both_bad"]
CHOICES: tuple[Choice, ...] = ("a", "b", "tie", "both_bad")


@dataclass(frozen=True, slots=True)
class Vote:
    """What one annotator says of one comparison."""

    comparison_id: str
    annotator: str
    source: str
    """The labeler: `ai`, `check`, or the name of a human source."""
    choice: Choice
    p_a: float | None
    """Probability that `a` is better; None where both answers were found bad."""
    weight: float = 1.0
    """Its say, greater than 0: the pairs of one ranking sum to 1."""

    @property
    def is_machine(self) -> bool:
        """Whether a model or a check voted, and no person."""
        return self.source in MACHINES


def annotator_of(judgment: Judgment) -> str:
    """Return who judged: the source and the person, or the source alone where it names nobody."""
    return f"{judgment.labeler}/{judgment.annotator}" if judgment.annotator else judgment.labeler


def current_judgments(judgments: Iterable[Judgment]) -> list[Judgment]:
    """Return the judgments that no later one takes back, in order of id."""
    found = sorted(judgments, key=lambda judgment: judgment.id)
    taken_back = {judgment.supersedes for judgment in found}
    return [judgment for judgment in found if judgment.id not in taken_back]


def probability_of(judgment: Judgment) -> float | None:
    """Return the probability of `a` that a judgment amounts to; None where it prefers nothing.

    A person's `both_bad` has none, whatever number came with it. A machine check that both answers fail alike
    has one half, as the check labeler says.
    """
    if judgment.labeler in MACHINES:
        return judgment.p_a
    if judgment.verdict == "tie":
        return 0.5
    if judgment.verdict in ("a", "b"):
        return judgment.p_a if judgment.p_a is not None else float(judgment.verdict == "a")
    return None


def votes_of(judgments: Iterable[Judgment]) -> list[Vote]:
    """Return one vote for each annotator and comparison, in order of both.

    A vote's weight is that of its weightiest judgment. An annotator who found both answers bad by more weight
    than anything else votes `both_bad`. Judgments of no weight have no say.
    """
    grouped: dict[tuple[str, str], list[Judgment]] = {}
    for judgment in current_judgments(judgments):
        if judgment.weight > 0:
            grouped.setdefault((judgment.comparison_id, annotator_of(judgment)), []).append(judgment)
    votes = (_vote(key, said) for key, said in sorted(grouped.items()))
    return [vote for vote in votes if vote is not None]


def choice_of(p_a: float) -> Choice:
    """Return the choice that a probability amounts to; a tie is exactly one half."""
    if p_a == 0.5:
        return "tie"
    return "a" if p_a > 0.5 else "b"


def by_comparison(votes: Iterable[Vote]) -> dict[str, list[Vote]]:
    """Return the votes on each comparison."""
    found: dict[str, list[Vote]] = {}
    for vote in votes:
        found.setdefault(vote.comparison_id, []).append(vote)
    return found


def mostly_both_bad(votes: Sequence[Vote]) -> bool:
    """Return whether people find both answers bad by more than half of their weight; without people, no."""
    people = [vote for vote in votes if not vote.is_machine]
    bad = sum(vote.weight for vote in people if vote.choice == "both_bad")
    return bad > sum(vote.weight for vote in people) / 2


def _vote(key: tuple[str, str], said: Sequence[Judgment]) -> Vote | None:
    comparison_id, annotator = key
    numbered = [(judgment.weight, p) for judgment in said if (p := probability_of(judgment)) is not None]
    total = sum(weight for weight, _ in numbered)
    bad = [j for j in said if j.verdict == "both_bad" and j.labeler not in MACHINES]
    source = said[0].labeler
    if sum(judgment.weight for judgment in bad) > total:
        return Vote(comparison_id, annotator, source, "both_bad", None, max(j.weight for j in bad))
    if not numbered:
        return None
    p_a = numbered[0][1] if len(numbered) == 1 else sum(weight * p for weight, p in numbered) / total
    weight = max(weight for weight, _ in numbered)
    return Vote(comparison_id, annotator, source, choice_of(p_a), p_a, weight)
