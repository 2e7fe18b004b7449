"""Figures of the judgments behind preferences: what each source says, and which answers pass checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.digests import record_id
from core.records import Judgment, Preference
from labelers.check import passes
from labelers.crowd.votes import MACHINES, probability_of


@dataclass
class SourceTally:
    """Counts of one source of labels."""

    pairs: int = 0
    """Preferences that rest on a judgment of it."""
    judgments: int = 0
    agrees: int = 0
    """Judgments that prefer the answer that was chosen in the end."""
    against: int = 0
    total_p: float = 0.0
    """Sum of its own probabilities of the chosen answer, over the judgments that prefer an answer."""
    decided: set[str] = field(default_factory=set)
    """Comparisons of which one of its judgments prefers an answer."""

    @property
    def mean_p(self) -> float | None:
        """Mean probability of the chosen answer over its judgments that prefer one; None without any."""
        preferring = self.agrees + self.against
        return self.total_p / preferring if preferring else None

    def as_json(self) -> dict[str, Any]:
        """Return the counts."""
        mean = self.mean_p
        return {
            "pairs": self.pairs,
            "decided_pairs": len(self.decided),
            "judgments": self.judgments,
            "agrees": self.agrees,
            "against": self.against,
            "mean_p": None if mean is None else round(mean, 4),
        }


@dataclass
class CheckTally:
    """Counts of the pairs of which a machine check says nothing about which answer is better."""

    both_pass: int = 0
    both_fail: int = 0

    def as_json(self) -> dict[str, int]:
        """Return the counts."""
        return {"both_pass": self.both_pass, "both_fail": self.both_fail}


@dataclass
class JudgmentFigures:
    """Figures of the judgments behind preferences, which are given first.

    A judgment counts if the preference of its comparison rests on a judgment of the same source.
    """

    sources: dict[str, SourceTally] = field(default_factory=dict)
    checks: dict[str, CheckTally] = field(default_factory=dict)
    """By principle."""
    _pairs: dict[str, tuple[bool | None, tuple[str, ...]]] = field(default_factory=dict)
    """For each comparison, whether `a` is the chosen answer (None: a tie, or not known), and its sources."""
    _known: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)
    _retractable: dict[str, Judgment] = field(default_factory=dict)
    """Judgments of people, which a later one may supersede, by id."""

    def expect(self, preference: Preference) -> None:
        """Take a preference, so that the judgments of its comparison count."""
        names = tuple(preference.sources)
        self._pairs[preference.comparison_id] = _a_is_chosen(preference), self._known.setdefault(names, names)
        for source in names:
            self.sources.setdefault(source, SourceTally()).pairs += 1

    def add(self, judgment: Judgment) -> None:
        """Count a judgment; call `settle` after the last one."""
        if judgment.labeler in MACHINES:
            self._count(judgment)
            return
        self._retractable.pop(judgment.supersedes or "", None)
        self._retractable[judgment.id] = judgment

    def settle(self) -> None:
        """Count the judgments of people that none supersedes."""
        for judgment in self._retractable.values():
            self._count(judgment)
        self._retractable.clear()

    def as_json(self, known: Iterable[str]) -> dict[str, Any]:
        """Return the counts by source, and those of checks by principle, in the order `known`."""
        return {
            "by_source": {name: tally.as_json() for name, tally in self.by_size().items()},
            "by_check": {name: self.checks[name].as_json() for name in known if name in self.checks},
        }

    def by_size(self) -> Mapping[str, SourceTally]:
        """Return the sources in the order of their pairs, the largest first."""
        return dict(sorted(self.sources.items(), key=lambda entry: (-entry[1].pairs, entry[0])))

    def _count(self, judgment: Judgment) -> None:
        a_is_chosen, names = self._pairs.get(judgment.comparison_id, (None, ()))
        if judgment.labeler not in names:
            return
        self._count_check(judgment)
        tally = self.sources[judgment.labeler]
        tally.judgments += 1
        p_a = probability_of(judgment)
        if p_a is None or p_a == 0.5:
            return
        tally.decided.add(judgment.comparison_id)
        if a_is_chosen is not None:
            p = p_a if a_is_chosen else 1 - p_a
            tally.agrees += p > 0.5
            tally.against += p < 0.5
            tally.total_p += p

    def _count_check(self, judgment: Judgment) -> None:
        found = passes(judgment)
        if found is None or judgment.principle_id is None:
            return
        tally = self.checks.setdefault(judgment.principle_id, CheckTally())
        tally.both_pass += found == (True, True)
        tally.both_fail += found == (False, False)


def _a_is_chosen(preference: Preference) -> bool | None:
    """Return whether the chosen answer is `a`; None for a tie, and if the ids do not say it.

    The id of a comparison is that of the prompt and both answers, in order: the comparison need not be read.
    """
    if preference.p_chosen == 0.5:
        return None
    prompt, own = preference.prompt_id, preference.comparison_id
    chosen, rejected = preference.chosen[-1].content, preference.rejected[-1].content
    if own == record_id("comparison", prompt, chosen, rejected):
        return True
    return False if own == record_id("comparison", prompt, rejected, chosen) else None
