"""Scopes of principles, and weighted sampling of the principles that apply to a prompt.

The draw is weighted rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit
rates", 1998; the weights as in Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005). Every
principle gets a score from a hash of the draw's key and its own id, -ln(u) / weight, and the smallest scores
win. No score depends on another principle, so adding or removing a principle changes only the draws that it
wins or won. An edit of the constitution leaves all other draws of a run unchanged.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from operator import itemgetter
from typing import Literal

from constitution.checks.evaluate import matches
from constitution.checks.prompted import is_decidable
from constitution.schema import Principle, Scope
from core.digests import derive_uniforms
from core.records import Prompt


def in_scope(principle: Principle, prompt: Prompt) -> bool:
    """Return whether the principle applies to the prompt, by the prompt's tags and last message.

    A check for the language of the question does not apply to a question that does not show one.
    """
    applies, exempt = principle.applies_to, principle.exempt
    return (
        is_decidable(principle.check, prompt)
        and (applies is None or covers(applies, prompt))
        and not (exempt is not None and covers(exempt, prompt))
    )


def covers(scope: Scope, prompt: Prompt) -> bool:
    """Return whether a prompt has one of the scope's tags and its last message matches the pattern."""
    if scope.tags and not set(scope.tags) & set(prompt.tags):
        return False
    return scope.pattern is None or matches(scope.pattern, prompt.messages[-1].content)


def draw(
    principles: Sequence[Principle], count: int | Literal["all"], *key: str | int
) -> tuple[Principle, ...]:
    """Return `count` principles sampled by weight without replacement, in the order drawn.

    Each score, -ln(u) / weight with u uniform in (0, 1), is exponentially distributed with the weight as its
    rate, so a principle has the smallest score with probability weight / sum of weights.

    Args:
        principles: The candidates. Neither their order nor their texts affect the draw.
        count: Number to draw, or `all`. If there are fewer candidates, all are returned, in the order drawn.
        *key: Identifies the draw, such as run seed, prompt id and round.
    """
    units = derive_uniforms(("draw", *key), (principle.id for principle in principles))
    # The id only breaks ties between equal scores, which practically never occur.
    scored = [
        (-math.log(unit) / principle.weight, principle.id, principle)
        for unit, principle in zip(units, principles, strict=True)
    ]
    number = len(scored) if count == "all" else count
    return tuple(drawn for _, _, drawn in heapq.nsmallest(number, scored, key=itemgetter(0, 1)))
