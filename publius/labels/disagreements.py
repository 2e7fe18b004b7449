"""Comparisons on which people choose differently, with what each of them chose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from core.records import Comparison
from labelers.crowd.votes import CHOICES, Vote, by_comparison
from labelers.crowd.winners import origin_in_words
from labelers.formats.columns import best_named

_BEGINNING = 200
"""Characters of a prompt that are kept."""


@dataclass(slots=True)
class NamedComparison:
    """What tells people which comparison it is."""

    prompt: str
    """The beginning of its last message."""
    case: str = ""
    """Its case or ticket in the user's own columns; empty without such a column."""
    left_out: str = ""
    """Why a run has no label for it; empty if it has one, or no run is given."""


@dataclass(slots=True)
class Disagreement:
    """A comparison on which two people or more made different choices."""

    comparison_id: str
    agreement: float
    """Share of the pairs of people who made the same choice."""
    said: dict[str, list[str]]
    """The annotators for each choice (`a`, `b`, `tie`, `both_bad`), by the names that votes have."""
    prompt: str = ""
    """The beginning of the last message; empty if no folder has the comparison."""
    answers: dict[str, str] = field(default_factory=dict)
    """Where the answers `a` and `b` come from."""

    def about(self, comparison: Comparison) -> None:
        """Add what the comparison is about; names of its answers that are known already stay."""
        self.prompt = beginning_of(comparison)
        known = self.answers.get("a", ""), self.answers.get("b", "")
        found = best_named(known, (comparison.origin_a, comparison.origin_b))
        self.answers = dict(zip(("a", "b"), found, strict=True))

    def words_of(self, choice: str) -> str:
        """Return a choice in words: the origin of the answer, if that tells the two apart."""
        if choice in ("a", "b"):
            named = origin_in_words(self.answers.get(choice, ""))
            return named if len(set(self.answers.values())) > 1 else f"answer {choice}"
        return choice.replace("_", " ")


def beginning_of(comparison: Comparison) -> str:
    """Return the beginning of the last message of a comparison's prompt, on one line."""
    return " ".join(comparison.prompt.messages[-1].content.split())[:_BEGINNING]


def disagreements_of(votes: Iterable[Vote]) -> list[Disagreement]:
    """Return the comparisons on which people differ, least agreed first; machines have no part in it.

    Args:
        votes: at most one per annotator and comparison.
    """
    found = []
    for comparison_id, given in by_comparison(vote for vote in votes if not vote.is_machine).items():
        said: dict[str, list[str]] = {}
        for choice in CHOICES:
            names = sorted(vote.annotator for vote in given if vote.choice == choice)
            if names:
                said[choice] = names
        if len(said) > 1:
            alike = sum(len(names) * (len(names) - 1) for names in said.values())
            agreement = alike / (len(given) * (len(given) - 1))
            found.append(Disagreement(comparison_id, agreement, said))
    return sorted(found, key=lambda one: (one.agreement, one.comparison_id))
