"""Which annotators share one reliability, because their votes do not tell them apart.

Votes of two do not say which of them is right: any division of their disagreements between them fits equally
well, and an EM would settle for one of them. How often each two of three agree does determine three
accuracies. So an annotator is told apart if at least `LEAST_SHARED` comparisons were judged with somebody
beside any single other annotator, counting only others who are told apart themselves; or if as many were
judged with annotators who are. People who are not told apart and have a comparison in common share one
reliability: opposite votes of theirs are a tie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set

from labelers.crowd.votes import Vote, by_comparison

LEAST_SHARED = 5
"""Comparisons that must be shared to tell an annotator apart: more than the votes that the prior is worth."""

_Beside = Mapping[str, Sequence[Set[str]]]
"""For each annotator the others who judged the same comparison, one set for each comparison."""


def reliability_groups(votes: Sequence[Vote], least_shared: int = LEAST_SHARED) -> dict[str, str]:
    """Return for each annotator the first, in order of name, of those with the same reliability.

    Args:
        votes: at most one per annotator and comparison, each with a probability.
        least_shared: comparisons that must be shared to tell an annotator apart.
    """
    beside: dict[str, list[Set[str]]] = {vote.annotator: [] for vote in votes}
    for found in by_comparison(votes).values():
        everyone = {vote.annotator for vote in found}
        for annotator in everyone:
            beside[annotator].append(everyone - {annotator})
    machines = {vote.annotator for vote in votes if vote.is_machine}
    alike = set(beside) - _told_apart(beside, least_shared) - machines
    first = {annotator: annotator for annotator in beside}
    for group in _connected(alike, beside):
        first |= dict.fromkeys(group, min(group))
    return first


def _told_apart(beside: _Beside, least_shared: int) -> set[str]:
    """Return the annotators whose votes say how reliable each of them is."""
    known = set(beside)
    while True:
        kept = {one for one in known if _shared_beyond_one(beside[one], known) >= least_shared}
        if kept == known:
            break
        known = kept
    while True:
        more = {
            one for one in set(beside) - known if sum(bool(o & known) for o in beside[one]) >= least_shared
        }
        if not more:
            return known
        known |= more


def _shared_beyond_one(beside: Sequence[Set[str]], known: set[str]) -> int:
    """Return the comparisons with known annotators, without those of the one who alone has the most."""
    shared = [found for others in beside if (found := others & known)]
    alone = Counter(name for found in shared if len(found) == 1 for name in found)
    return len(shared) - max(alone.values(), default=0)


def _connected(annotators: set[str], beside: _Beside) -> Iterator[set[str]]:
    """Yield the groups of annotators who are connected by comparisons in common."""
    left = set(annotators)
    while left:
        group, reached = set[str](), {left.pop()}
        while reached:
            group |= reached
            reached = {name for one in reached for others in beside[one] for name in others & left} - group
        left -= group
        yield group
