"""Trees of one prompt with several answers, and micro-batches of rows under a token budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_PROBE_TOKENS = 16
"""Longest prompt of the short trees of a probe: enough for a state to build up, and quick."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A prompt and its answers, as token ids."""

    prompt_ids: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.prompt_ids) + sum(map(len, self.answers))


def probe_trees(probe: Tree) -> list[Tree]:
    """Return the probe and two short trees, on which a packed row is compared with separate rows.

    A packed row of one answer is an ordinary row. Only two prompts with two answers of several tokens show a
    model whose layers carry a state across the row, from one prompt or answer into the next.
    """
    ids = probe.prompt_ids[:_PROBE_TOKENS]
    answers = ((ids[0], ids[-1]), (ids[-1], ids[0], ids[-1]))
    return [probe, Tree(ids, answers), Tree((*ids[1:], ids[0]), answers)]


def micro_batches(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Return the indices of rows in groups of at most `budget` tokens each, longest rows first.

    A row longer than the budget forms a group of its own. Each row goes to the first group with room for it
    (first-fit decreasing). Groups are filled well this way, and a lack of memory shows at the first step.
    """
    groups: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        fit = next((g for g, left in enumerate(room) if sizes[index] <= left), None)
        if fit is None:
            groups.append([index])
            room.append(budget - sizes[index])
        else:
            groups[fit].append(index)
            room[fit] -= sizes[index]
    return groups
