"""Figures of preferences, gathered in one pass: by certainty, principle, tag, answers and length."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.records import Preference
from labelers.crowd.votes import MACHINES
from labelers.crowd.winners import kind_of_answer, origin_in_words

EDGES = (0.6, 0.7, 0.8, 0.9, 1.0)
"""Upper ends of the classes of certainty; ties are a class of their own."""


@dataclass
class PairTally:
    """Counts of a group of preferences."""

    pairs: int = 0
    ties: int = 0
    """Those with a probability of one half."""
    total_p: float = 0.0
    agrees: int = 0
    """Of a principle: pairs where it is for the answer that was chosen."""
    against: int = 0

    def add(self, p: float) -> None:
        """Count a pair by the probability of its chosen answer."""
        self.pairs += 1
        self.ties += p == 0.5
        self.total_p += p

    @property
    def mean_p(self) -> float:
        """Mean probability of the chosen answer."""
        return self.total_p / self.pairs

    def as_json(self) -> dict[str, Any]:
        """Return the counts; `agrees` and `against` only of principles."""
        found = {"pairs": self.pairs, "ties": self.ties, "mean_p": round(self.mean_p, 4)}
        sides = {"agrees": self.agrees, "against": self.against}
        return found | (sides if self.agrees or self.against else {})


@dataclass
class Lengths:
    """Lengths of the chosen and the rejected answers, in words between white space."""

    pairs: int = 0
    chosen: int = 0
    rejected: int = 0
    chosen_longer: int = 0
    rejected_longer: int = 0

    def add(self, chosen: int, rejected: int) -> None:
        """Count a pair that is not a tie."""
        self.pairs += 1
        self.chosen += chosen
        self.rejected += rejected
        self.chosen_longer += chosen > rejected
        self.rejected_longer += rejected > chosen

    def as_json(self) -> dict[str, Any]:
        """Return mean words, and how often each side is the longer one."""
        if not self.pairs:
            return {}
        return {
            "pairs": self.pairs,
            "chosen_words": round(self.chosen / self.pairs, 1),
            "rejected_words": round(self.rejected / self.pairs, 1),
            "chosen_longer": self.chosen_longer,
            "rejected_longer": self.rejected_longer,
        }


@dataclass
class PreferenceFigures:
    """Figures of preferences, and a few of them to look at; memory does not grow with their number."""

    rows_wanted: int
    all: PairTally = field(default_factory=PairTally)
    principles: dict[str, PairTally] = field(default_factory=dict)
    tags: dict[str, PairTally] = field(default_factory=dict)
    unprincipled: int = 0
    """Pairs without a judgment under a principle: people judged them as a whole."""
    splits: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    """Pairs by the kinds of both answers, such as `revision over draft`; ties have no part in it."""
    certainty: list[int] = field(default_factory=lambda: [0] * (1 + len(EDGES)))
    """Ties, then the pairs up to each of `EDGES`."""
    unasked: int = 0
    """Pairs up to the first of `EDGES`, ties among them, that no person judged."""
    lengths: Lengths = field(default_factory=Lengths)
    cut_off: int = 0
    """Answers that were cut off at the token limit; one in two pairs counts twice."""
    rows: list[Preference] = field(default_factory=list)
    """Those with the lowest ids. Ids are hashes, so this is a random draw, and the same one each time."""

    def add_all(self, preferences: Iterable[Preference]) -> None:
        """Count preferences."""
        for preference in preferences:
            self.add(preference)

    def add(self, preference: Preference) -> None:
        """Count one preference."""
        p, is_tie = preference.p_chosen, preference.p_chosen == 0.5
        self.all.add(p)
        self.certainty[0 if is_tie else 1 + bisect_left(EDGES, p)] += 1
        self.unasked += p <= EDGES[0] and preference.sources.keys() <= MACHINES
        self.splits[preference.split or "none"] += 1
        self.cut_off += (not preference.finished_chosen) + (not preference.finished_rejected)
        for tag in preference.tags:
            self.tags.setdefault(tag, PairTally()).add(p)
        self.unprincipled += not preference.by_principle
        for principle, opinion in preference.by_principle.items():
            tally = self.principles.setdefault(principle, PairTally())
            tally.add(opinion)
            if not is_tie:
                tally.agrees += opinion > 0.5
                tally.against += opinion < 0.5
        if not is_tie:
            kinds = (preference.origin_chosen, preference.origin_rejected)
            self.answers[" over ".join(origin_in_words(kind_of_answer(kind)) for kind in kinds)] += 1
            words = (len(side[-1].content.split()) for side in (preference.chosen, preference.rejected))
            self.lengths.add(*words)
        insort(self.rows, preference, key=lambda row: row.id)
        del self.rows[self.rows_wanted :]

    def ordered_principles(self, known: Iterable[str]) -> dict[str, PairTally]:
        """Return the principles in the order of the constitution, then the others by name."""
        first = [name for name in known if name in self.principles]
        others = sorted(self.principles.keys() - set(first))
        return {name: self.principles[name] for name in (*first, *others)}

    def as_json(self, known: Iterable[str]) -> dict[str, Any]:
        """Return the figures as JSON-able values.

        Args:
            known: the principles of the constitution, in its order.
        """
        if not self.all.pairs:
            return {}
        classes = ("tie", *(f"up to {edge:g}" for edge in EDGES))
        return {
            "all": self.all.as_json(),
            "certainty": dict(zip(classes, self.certainty, strict=True)),
            "by_principle": _as_json(self.ordered_principles(known)),
            "by_tag": _as_json(by_size(self.tags)),
            "without_principle": self.unprincipled,
            "by_split": dict(self.splits.most_common()),
            "by_answers": dict(self.answers.most_common()),
            "lengths": self.lengths.as_json(),
            "answers_cut_off": self.cut_off,
        }


def by_size(tallies: Mapping[str, PairTally]) -> dict[str, PairTally]:
    """Return tallies in the order of their pairs, the largest first."""
    return dict(sorted(tallies.items(), key=lambda entry: (-entry[1].pairs, entry[0])))


def _as_json(tallies: Mapping[str, PairTally]) -> dict[str, Any]:
    return {name: tally.as_json() for name, tally in tallies.items()}
