"""Count pairs whose label is against people's votes, by what chose: a hard rule, or the mixing of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from constitution.schema import Constitution
from core.notices import counted
from core.records import Comparison, Exclusion, Judgment, Preference
from labelers.crowd.aggregate import BOTH_BREAK_HARD
from labelers.crowd.votes import by_comparison, votes_of

_PAGE = "docs/constitution-format.md"
_FEW = 0.05
"""Share of the pairs below which nothing is said of the mixing, which is made for it that some votes lose."""


@dataclass
class OutvotedPairs:
    """Counts of the pairs on which people voted."""

    pairs: int = 0
    """Those in which most votes are for one answer."""
    by_rules: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """Of these, those in which hard rules chose the other answer, by the rules."""
    by_mixing: int = 0
    """Of these, those in which the mixing of labels chose the other answer."""
    left_out: int = 0
    """Of these, those without a label, as both answers break a hard rule."""
    ties: int = 0
    """Pairs without a majority in which hard rules chose."""
    sources: set[str] = field(default_factory=set)
    """The sources of the votes."""

    @property
    def turned(self) -> int:
        """Number of pairs in which the chosen answer is the one that most votes are against."""
        return self.by_rules.total() + self.by_mixing

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON-able values."""
        return {
            "pairs": self.pairs,
            "by_rules": {", ".join(names): count for names, count in sorted(self.by_rules.items())},
            "by_mixing": self.by_mixing,
            "left_out": self.left_out,
            "ties": self.ties,
        }


def people_for_a(judgments: Iterable[Judgment]) -> dict[str, float]:
    """Return the share of votes for answer `a` by comparison; that of a tie is one half."""
    found = {}
    for comparison, votes in by_comparison(votes_of(judgments)).items():
        said = [(vote.weight, vote.p_a) for vote in votes if vote.p_a is not None]
        if said:
            found[comparison] = sum(weight * p for weight, p in said) / sum(weight for weight, _ in said)
    return found


def tally_outvoted(
    votes: Mapping[str, float],
    comparisons: Iterable[Comparison],
    preferences: Iterable[Preference],
    exclusions: Iterable[Exclusion],
    constitution: Constitution,
) -> OutvotedPairs:
    """Return how the labels of a run go with people's votes.

    Args:
        votes: the share of votes for `a` by comparison.
        comparisons: those of the run, own and added ones.
        preferences: its labels.
        exclusions: those of its stages.
        constitution: its hard rules.
    """
    first = {one.id: hash(one.response_a) for one in comparisons if one.id in votes}
    hard = [rule.id for rule in constitution.steering if rule.hard and rule.check is not None]
    found = OutvotedPairs(pairs=sum(share != 0.5 for share in votes.values()))
    for preference in preferences:
        share, answer = votes.get(preference.comparison_id), first.get(preference.comparison_id)
        if share is None or answer is None or preference.p_chosen == 0.5:
            continue
        for_chosen = share if hash(preference.chosen[-1].content) == answer else 1 - share
        rules = tuple(name for name in hard if preference.by_principle.get(name, 0.5) > 0.5)
        if for_chosen < 0.5 and rules:
            found.by_rules[rules] += 1
        elif for_chosen < 0.5:
            found.by_mixing += 1
        elif for_chosen == 0.5:
            found.ties += bool(rules)
    found.left_out = sum(
        votes.get(one.record_id, 0.5) != 0.5 and one.reason.startswith(BOTH_BREAK_HARD) for one in exclusions
    )
    return found


def outvoted_in_words(found: OutvotedPairs, mixing: str) -> list[str]:
    """Return sentences about hard rules and a mixing of labels that choose against people's votes.

    Args:
        found: the counts.
        mixing: the settings that combined the labels, such as `label.mix=pooled`.
    """
    whose = _whose(found.sources)
    pairs = counted(found.pairs, "pair")
    said = []
    for names, count in found.by_rules.most_common():
        named = f"{'is' if len(names) == 1 else 'are'} hard and chose against {whose} in {count:,} of {pairs}"
        said.append(f"{_listed(names)} {named}: these teach the opposite of the votes ({_PAGE}).")
    if found.ties:
        said.append(f"Hard rules chose an answer in {counted(found.ties, 'pair')} that people call a tie.")
    if found.left_out:
        are = "is" if found.left_out == 1 else "are"
        said.append(
            f"{found.left_out:,} of {pairs} on which people prefer an answer {are} left out, as both "
            "answers break a hard rule."
        )
    if found.by_mixing and found.by_mixing >= _FEW * found.pairs:
        said.append(
            f"The mixing of labels ({mixing}) chose against {whose} in {found.by_mixing:,} of {pairs}; "
            "label.mix=humans with label.aggregation=majority follows the votes."
        )
    return said


def _whose(sources: Collection[str]) -> str:
    """Return whose votes they are. Names of annotators are not said, as they do not leave a run."""
    return f"the votes of {next(iter(sources))}" if len(sources) == 1 else "most votes of people"


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)
