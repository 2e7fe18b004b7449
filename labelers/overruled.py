"""Count how labels go with machine checks: pairs in which one was overruled, or that both answers break."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from constitution.schema import Constitution
from core.notices import counted
from core.records import Judgment, Preference
from core.statistics.ties import distance_from_tie
from labelers.check import passes
from labelers.crowd.aggregate import DECISIVE, tier_of
from labelers.crowd.votes import MACHINES

_PAGE = "docs/constitution-format.md"
_MOSTLY_LOST, _FEW = 0.4, 3
"""Share of the pairs from which on a check counts as overruled, and number of pairs below which it does not.
A check is certain, so each lost pair teaches the contrary of its rule, and the counts are those of the data
itself, no estimate: few pairs are enough. At one half the losses cancel what the others teach; at 0.4 a fifth
is left."""
_ROUNDING = 1e-9


@dataclass
class CheckedPairs:
    """Counts of the pairs that one check judged."""

    pairs: int = 0
    both_break: int = 0
    """Those in which both answers break it."""
    decided: int = 0
    """Those in which one answer keeps it and the other breaks it, and neither people nor rules that come
    before it chose."""
    lost: int = 0
    """Of `decided`: the answer that breaks it was chosen."""
    rules: int = 0
    """Largest number of principles behind the label of a pair whose chosen answer the check is against."""

    @property
    def share_lost(self) -> float:
        """Share of the decided pairs in which the answer that breaks it was chosen; 0 without any."""
        return self.lost / self.decided if self.decided else 0.0

    @property
    def is_overruled(self) -> bool:
        """True if the answer that breaks it was chosen so often that the label works against the rule."""
        return self.decided >= _FEW and self.share_lost >= _MOSTLY_LOST

    @property
    def is_mostly_broken(self) -> bool:
        """True if both answers break it in most pairs, so that no label can choose one that keeps it."""
        return self.pairs >= _FEW and self.both_break > self.pairs / 2


def tally_checks(
    preferences: Iterable[Preference],
    judgments: Iterable[Judgment],
    constitution: Constitution,
    confidence: float,
) -> dict[str, CheckedPairs]:
    """Return the counts of every check that steers and judged a pair, in the order of the constitution.

    Preferences and judgments are read one after the other and not joined, so that memory does not grow with
    them: a check's probability in a preference says by itself whether one answer alone keeps the rule, since
    only then it is as far from one half as `confidence`.

    Args:
        preferences: those of a run.
        judgments: those of a run, of all labelers or of checks alone.
        constitution: its checks and tiers.
        confidence: `label.check_confidence` of the run.
    """
    checks = [principle.id for principle in constitution.steering if principle.check is not None]
    found = {name: CheckedPairs() for name in checks}
    for judgment in judgments:
        pairs, kept = found.get(judgment.principle_id or ""), passes(judgment)
        if pairs is not None and kept is not None:
            pairs.pairs += 1
            pairs.both_break += not any(kept)
    earlier = {name: _before(name, constitution) for name in checks}
    for preference in preferences:
        for name, pairs in found.items():
            won = _is_for_chosen(name, preference, earlier[name], confidence)
            if won is not None:
                pairs.decided += 1
                pairs.lost += not won
            if won is False:
                pairs.rules = max(pairs.rules, len(preference.by_principle))
    return {name: pairs for name, pairs in found.items() if pairs.pairs}


def _is_for_chosen(
    name: str, preference: Preference, earlier: frozenset[str], confidence: float
) -> bool | None:
    """Return whether a check that one answer alone passes is for the chosen one.

    None if both pass or both fail, and where people or an earlier rule chose the answer.
    """
    opinions = preference.by_principle
    if preference.p_chosen == 0.5 or not preference.sources.keys() <= MACHINES or name not in opinions:
        return None
    if distance_from_tie(opinions[name]) < distance_from_tie(confidence) - _ROUNDING:
        return None
    if any(distance_from_tie(p) >= DECISIVE for other, p in opinions.items() if other in earlier):
        return None
    return opinions[name] > 0.5


def overruled_in_words(
    found: Mapping[str, CheckedPairs], constitution: Constitution, *, mixed: bool
) -> list[str]:
    """Return a sentence for each overruled check, and for each that both answers break in most pairs.

    Args:
        found: the counts of checks.
        constitution: their principles, with weights.
        mixed: True if `label.mix` combines sources in another way than a mean over principles.
    """
    said = []
    for name, pairs in found.items():
        if pairs.is_overruled:
            why = (
                "one part of label.mix" if mixed else _in_the_mean(pairs, constitution.principle(name).weight)
            )
            said.append(
                f"In {pairs.lost:,} of {counted(pairs.decided, 'pair')} in which one answer keeps `{name}`, "
                f"the one that breaks it was chosen: the check is {why}; `hard: true` lets it decide "
                f"({_PAGE})."
            )
        if pairs.is_mostly_broken:
            said.append(
                f"In {pairs.both_break:,} of {counted(pairs.pairs, 'pair')} both answers break `{name}`, and "
                f"so does the chosen one; `hard: true` leaves these pairs out ({_PAGE})."
            )
    return said


def _in_the_mean(pairs: CheckedPairs, weight: float) -> str:
    return (
        f"one of up to {pairs.rules} rules in the mean, with weight {weight:g}; a higher `weight` lets it "
        "count for more"
    )


def _before(name: str, constitution: Constitution) -> frozenset[str]:
    """Return the principles that come before one: hard ones, and earlier sections where these are strict."""
    own = tier_of(constitution.principle(name), constitution)
    return frozenset(p.id for p in constitution.steering if tier_of(p, constitution) < own)
