"""How far annotators agree with themselves, on comparisons that they judged twice or more.

The share is what others can agree with them at most: whoever decides anew each time cannot be predicted by
anybody (test-retest reliability; Gwet, Handbook of Inter-Rater Reliability, 4th edition 2014, chapter 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from core.records import Judgment
from labelers.crowd.votes import Choice, annotator_of, current_judgments, votes_of

_Question = tuple[str, str, str | None, str | None]
"""Annotator, comparison, principle and dimension."""


@dataclass(frozen=True, slots=True)
class SelfAgreement:
    """An annotator's agreement with their own earlier judgments."""

    annotator: str
    repeats: int
    """Judgments of a comparison that the annotator had judged before, in the same respect."""
    same: int
    """Those of them that chose as the time before."""

    @property
    def share(self) -> float:
        """The share of repeats with the same choice."""
        return self.same / self.repeats


def self_agreements(judgments: Iterable[Judgment]) -> list[SelfAgreement]:
    """Return the agreement of each annotator with themselves, in order of name; of those who repeated.

    Args:
        judgments: any judgments; superseded ones, and those without a choice, do not count.
    """
    asked: dict[_Question, dict[int, list[Judgment]]] = {}
    for judgment in current_judgments(judgments):
        key = (
            annotator_of(judgment),
            judgment.comparison_id,
            judgment.principle_id,
            judgment.dimension,
        )
        asked.setdefault(key, {}).setdefault(judgment.occasion or 1, []).append(judgment)
    found: dict[str, list[bool]] = {}
    for (annotator, *_), occasions in asked.items():
        choices: list[Choice] = [
            vote.choice for _, group in sorted(occasions.items()) for vote in votes_of(group)
        ]
        found.setdefault(annotator, []).extend(one == two for one, two in pairwise(choices))
    return [SelfAgreement(name, len(same), sum(same)) for name, same in sorted(found.items()) if same]
