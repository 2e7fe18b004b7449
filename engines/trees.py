"""Trees of one prompt with several answers, rows with a common prefix, micro-batches under a token budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

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


def common_length(one: tuple[int, ...], two: tuple[int, ...]) -> int:
    """Return the number of tokens at the beginning of two rows that are the same."""
    low, high = 0, min(len(one), len(two))
    if one[:high] == two[:high]:
        return high
    # Slices are compared in C: ten of them are faster than a loop over hundreds of tokens.
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == two[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def prefix_groups(rows: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Return the indices of rows in groups that share a prefix, so that few tokens are computed.

    A group computes its common prefix once. Rows in order of their tokens form a tree of ever longer common
    prefixes; at each of its branches, either all rows below form one group or the groups below stay apart,
    whichever saves more tokens. Rows that share nothing form groups of one.
    """
    if not rows:
        return []
    order = sorted(range(len(rows)), key=lambda index: rows[index])
    shared = [common_length(rows[a], rows[b]) for a, b in pairwise(order)]
    # Runs of neighbours are joined from the longest shared prefix to the shortest. For each: the place of its
    # other end, and, at its first place, the tokens saved and its groups.
    first_of, last_of = list(range(len(rows))), list(range(len(rows)))
    best: list[tuple[int, list[tuple[int, int]]]] = [(0, [(place, place)]) for place in range(len(rows))]
    for place in sorted(range(len(shared)), key=lambda place: -shared[place]):
        first, last = first_of[place], last_of[place + 1]
        (left, its), (right, others) = best[first], best[place + 1]
        together = shared[place] * (last - first)
        best[first] = (together, [(first, last)]) if together > left + right else (left + right, its + others)
        first_of[last], last_of[first] = first, last
    return [sorted(order[first : last + 1]) for first, last in best[0][1]]


def prefix_tree(rows: Sequence[tuple[int, ...]]) -> Tree:
    """Return rows as a tree: the longest common prefix as the prompt, what follows it as the answers."""
    shared = common_length(min(rows), max(rows))
    return Tree(rows[0][:shared], tuple(row[shared:] for row in rows))


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
