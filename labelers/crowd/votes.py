"""Turn judgments into votes: one per annotator and comparison.

A vote is a probability that `a` is the better answer. An annotator who chose an answer votes 1 or 0, or the
probability given with the choice. A tie is half a vote for each answer. `both_bad` is not a tie: it carries
no information about which answer is better, is counted separately, and is never half a vote. `skip`,
`unparsed` and superseded judgments are not votes.

Several judgments of one comparison by one annotator (under several principles or dimensions, or repeated)
are one vote, their weighted mean: they are not independent and must not count as several annotators. Where
agreement is measured, the occasions of a repeated comparison are cases of their own (`votes_by_occasion`).

A pair of a ranking is a whole vote on its two answers. The ranking is one decision all the same: its pairs
together are one vote where an annotator's reliability is estimated, and one pair in training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from core.records import Judgment
from core.text.names import folded_name

MACHINES = frozenset({"ai", "check"})
"""Automatic labelers. Any other name is a source of human judgments."""

NO_HUMAN_JUDGMENT = "no human judgment"
"""Why a comparison is excluded that no person judged, or only skipped."""

Choice = Literal["a", "b", "tie", "both_bad"]
CHOICES: tuple[Choice, ...] = ("a", "b", "tie", "both_bad")


@dataclass(frozen=True, slots=True)
class Vote:
    """One annotator's vote on one comparison."""

    comparison_id: str
    annotator: str
    source: str
    """The labeler: `ai`, `check`, or the name of a human source."""
    choice: Choice
    p_a: float | None
    """Probability that `a` is better; None if both answers were found bad."""
    weight: float = 1.0
    """The number of votes that it counts as, greater than 0."""
    share: float = 1.0
    """The part of a decision that it is: below 1 for a pair of a ranking, whose pairs sum to 1. A vote counts
    by `weight` for its comparison, and by `weight * share` for the reliability of its annotator."""

    @property
    def is_machine(self) -> bool:
        """True if the vote is from an automatic labeler."""
        return self.source in MACHINES


def annotator_of(judgment: Judgment) -> str:
    """Return the annotator's name: `source/annotator`, or the source alone if the annotator is unnamed.

    The name is folded: `Marta` in a table and `marta` on the annotation page are one person.
    """
    if not judgment.annotator:
        return judgment.labeler
    return f"{judgment.labeler}/{folded_name(judgment.annotator)}"


def current_judgments(judgments: Iterable[Judgment]) -> list[Judgment]:
    """Return the judgments that are not superseded, in order of id."""
    found = sorted(judgments, key=lambda judgment: judgment.id)
    taken_back = {judgment.supersedes for judgment in found}
    return [judgment for judgment in found if judgment.id not in taken_back]


def votes_in(judgment: Judgment) -> float:
    """Return how many votes a judgment is on its comparison; 0 for one that does not count.

    The weight of a ranking's pair is its share of one decision, and says nothing about the two answers.
    """
    return 1.0 if judgment.group is not None and judgment.weight > 0 else judgment.weight


def probability_of(judgment: Judgment) -> float | None:
    """Return a judgment's probability of `a`; None if it has none.

    A human `both_bad` has none, even if the record has a number. A machine check that both answers fail
    equally has one half, as set by the check labeler.
    """
    if judgment.labeler in MACHINES:
        return judgment.p_a
    if judgment.verdict == "tie":
        return 0.5
    if judgment.verdict in ("a", "b"):
        return judgment.p_a if judgment.p_a is not None else float(judgment.verdict == "a")
    return None


def votes_of(judgments: Iterable[Judgment]) -> list[Vote]:
    """Return one vote for each annotator and comparison, sorted by comparison and annotator.

    A vote's weight is the largest of its judgments (`votes_in`), as is its share. An annotator whose
    `both_bad` judgments weigh more than the others together votes `both_bad`. Judgments of weight 0 are
    ignored.
    """
    grouped: dict[tuple[str, str], list[Judgment]] = {}
    for judgment in current_judgments(judgments):
        if judgment.weight > 0:
            grouped.setdefault((judgment.comparison_id, annotator_of(judgment)), []).append(judgment)
    votes = (_vote(key, group) for key, group in sorted(grouped.items()))
    return [vote for vote in votes if vote is not None]


class Cases(NamedTuple):
    """Votes in which nobody votes twice on one case, and the prompts of the cases."""

    votes: list[Vote]
    """Their `comparison_id` is the case: a comparison, or a comparison on a later occasion."""
    prompts: dict[str, str]


def votes_by_occasion(judgments: Iterable[Judgment], prompts: Mapping[str, str] | None = None) -> Cases:
    """Return one vote for each annotator, comparison and occasion, sorted by case and annotator.

    A mean over an annotator's occasions would be a tie wherever they contradict themselves, and a tie agrees
    with nobody. So the first judgments of a comparison are one case, the second ones another.

    Args:
        judgments: judgments of any comparisons.
        prompts: the prompts of the comparisons, by ids; one that is not in it has a prompt of its own.
    """
    groups: dict[int, list[Judgment]] = {}
    for judgment in current_judgments(judgments):
        groups.setdefault(judgment.occasion or 1, []).append(judgment)
    votes, asked = list[Vote](), dict(prompts or {})
    for number, group in sorted(groups.items()):
        for vote in votes_of(group):
            case = vote.comparison_id if number == 1 else f"{vote.comparison_id}/{number}"
            if number > 1 or prompts is None:
                asked[case] = asked.get(vote.comparison_id, vote.comparison_id)
            votes.append(replace(vote, comparison_id=case))
    return Cases(sorted(votes, key=lambda vote: (vote.comparison_id, vote.annotator)), asked)


def choice_of(p_a: float) -> Choice:
    """Return the choice that a probability implies; a tie is exactly one half."""
    if p_a == 0.5:
        return "tie"
    return "a" if p_a > 0.5 else "b"


def by_comparison(votes: Iterable[Vote]) -> dict[str, list[Vote]]:
    """Return the votes grouped by comparison."""
    found: dict[str, list[Vote]] = {}
    for vote in votes:
        found.setdefault(vote.comparison_id, []).append(vote)
    return found


def mostly_both_bad(votes: Sequence[Vote]) -> bool:
    """Return whether `both_bad` has more than half of the human votes' weight; False without human votes."""
    human = [vote for vote in votes if not vote.is_machine]
    bad = sum(vote.weight for vote in human if vote.choice == "both_bad")
    return bad > sum(vote.weight for vote in human) / 2


def _vote(key: tuple[str, str], judgments: Sequence[Judgment]) -> Vote | None:
    comparison_id, annotator = key
    numbered = [
        (votes_in(judgment), p) for judgment in judgments if (p := probability_of(judgment)) is not None
    ]
    total = sum(weight for weight, _ in numbered)
    bad = [j for j in judgments if j.verdict == "both_bad" and j.labeler not in MACHINES]
    source = judgments[0].labeler
    if sum(map(votes_in, bad)) > total:
        return Vote(comparison_id, annotator, source, "both_bad", None, max(map(votes_in, bad)))
    if not numbered:
        return None
    p_a = numbered[0][1] if len(numbered) == 1 else sum(weight * p for weight, p in numbered) / total
    weight = max(weight for weight, _ in numbered)
    share = max(judgment.weight / votes_in(judgment) for judgment in judgments)
    return Vote(comparison_id, annotator, source, choice_of(p_a), p_a, weight, share)
