"""Which principles a prompt is judged by, and which of them are drawn.

The draw is weighted rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit
rates", 1998; the weights as in Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005). Every
principle gets a score from a hash of the draw's key and its own id, -ln(u) / weight, and the smallest scores
win. No score depends on another principle, so one that is added or removed changes only the draws that it
wins or won: an edit of the constitution leaves the rest of a run as it was.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

from constitution.checks.evaluate import matches
from constitution.schema import Principle, Scope
from core.digests import derive_uniform
from core.records import Prompt


def in_scope(principle: Principle, prompt: Prompt) -> bool:
    """Return whether the principle is about this prompt, by its tags and its last message."""
    applies, exempt = principle.applies_to, principle.exempt
    return (applies is None or covers(applies, prompt)) and not (
        exempt is not None and covers(exempt, prompt)
    )


def covers(scope: Scope, prompt: Prompt) -> bool:
    """Return whether a prompt bears one of the scope's tags, and its last message the pattern."""
    if scope.tags and not set(scope.tags) & set(prompt.tags):
        return False
    return scope.pattern is None or matches(scope.pattern, prompt.messages[-1].content)


def draw(principles: Sequence[Principle], count: int, *key: str | int) -> tuple[Principle, ...]:
    """Return `count` principles drawn by weight without replacement, the first drawn first.

    The score of each, -ln(u) / weight with u uniform in (0, 1), is exponentially distributed with the weight
    as its rate, so the smallest one belongs to a principle with probability weight / sum of weights.

    Args:
        principles: The candidates; neither their order nor their texts matter.
        count: How many to draw; all of them, in drawn order, if there are fewer.
        *key: What the draw is for, such as run seed, prompt id and round.
    """

    def score(principle: Principle) -> tuple[float, str]:
        # The id only orders equal scores, which no two principles will ever have.
        return -math.log(derive_uniform("draw", *key, principle.id)) / principle.weight, principle.id

    return tuple(heapq.nsmallest(count, principles, key=score))
