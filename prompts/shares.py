"""Number of prompts of each kind for each principle, and the tags of these prompts."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from constitution.draw import covers
from constitution.schema import Principle
from core.records import Message, Prompt

PromptKind = Literal["tempting", "borderline", "everyday"]
KINDS: Mapping[PromptKind, int] = {"tempting": 2, "borderline": 1, "everyday": 1}
"""Kinds of prompts with their shares; each kind is also a tag."""

_MIN_ATTEMPTS = 12
_ATTEMPTS_EACH = 6


@dataclass(frozen=True)
class Cell:
    """The prompts of one kind for one principle."""

    principle: Principle
    kind: PromptKind
    wanted: int

    @property
    def tags(self) -> tuple[str, ...]:
        """The kind, the principle's id, and the tags that its scope requires."""
        return prompt_tags(self.principle, self.kind)

    @property
    def max_attempts(self) -> int:
        """Maximum number of replies to request, even if prompts are still missing."""
        return max(_MIN_ATTEMPTS, _ATTEMPTS_EACH * self.wanted) if self.wanted else 0


def cells_of(principles: Sequence[Principle], count: int) -> tuple[Cell, ...]:
    """Return the number of prompts of each kind for each principle; they sum to `count`.

    `count` is divided among the kinds by the largest remainder method, and each kind equally among the
    principles. The remainder goes to the principles with the fewest prompts so far. A kind that a principle's
    scope excludes is divided among the other principles.
    """
    open_to = {kind: [p for p in principles if reaches(p, kind)] for kind in KINDS}
    kinds = {kind: share for kind, share in KINDS.items() if open_to[kind]}
    totals = Counter[str]()
    wanted: dict[tuple[str, PromptKind], int] = {}
    for kind, of_kind in largest_remainder(kinds, count).items():
        each, rest = divmod(of_kind, len(open_to[kind]))
        favoured = heapq.nsmallest(rest, (p.id for p in open_to[kind]), key=lambda i: totals[i])
        for principle in open_to[kind]:
            wanted[principle.id, kind] = each + (principle.id in favoured)
            totals[principle.id] += wanted[principle.id, kind]
    return tuple(Cell(p, kind, wanted.get((p.id, kind), 0)) for p in principles for kind in KINDS)


def largest_remainder(shares: Mapping[PromptKind, int], count: int) -> dict[PromptKind, int]:
    """Divide `count` by shares: the integer parts, plus one each for the largest remainders."""
    whole = sum(shares.values())
    found = {kind: count * share // whole for kind, share in shares.items()}
    by_remainder = sorted(shares, key=lambda kind: -(count * shares[kind] % whole))  # stable: ties in order
    for kind in by_remainder[: count - sum(found.values())]:
        found[kind] += 1
    return found


def prompt_tags(principle: Principle, kind: PromptKind) -> tuple[str, ...]:
    """Return the tags of a prompt: scope tags without other kinds and exempt tags, which would be wrong."""
    scope, exempt = principle.applies_to, principle.exempt
    asked = scope.tags if scope else ()
    untrue = {*KINDS, *(exempt.tags if exempt else ())}
    return tuple(dict.fromkeys((kind, principle.id, *(tag for tag in asked if tag not in untrue))))


def reaches(principle: Principle, kind: PromptKind) -> bool:
    """Return True if the principle's scope can include prompts of a kind, judging by tags only."""
    probe = Prompt.of((Message(role="user", content="-"),), tags=prompt_tags(principle, kind))
    scope, exempt = principle.applies_to, principle.exempt
    if scope and not covers(scope.model_copy(update={"pattern": None}), probe):
        return False
    return not (exempt and exempt.pattern is None and covers(exempt, probe))
