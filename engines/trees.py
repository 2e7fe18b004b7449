"""Trees of one prompt with several answers, rows with a common prefix, micro-batches under a token budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

_PROBE_TOKENS = 16
"""Longest prompt of the short trees of a probe: enough for a state to build up, and quick."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A prompt and its answers, as token ids."""

    prompt_ids: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.prompt_ids) + sum(map(len, self.answers))

    @property
    def ids(self) -> tuple[int, ...]:
        """All token ids: those of the prompt, then those of each answer."""
        return (*self.prompt_ids, *chain.from_iterable(self.answers))


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a branched prompt."""

    ids: tuple[int, ...]
    start: int
    """Position of its first token."""
    seen: tuple[int, ...]
    """Places of the earlier nodes that it sees whole, in order of position."""


@dataclass(frozen=True, slots=True)
class BranchedPrompt:
    """A prompt whose branches have the same positions and do not see each other, as token ids."""

    shared: tuple[int, ...]
    namings: tuple[tuple[tuple[int, ...], ...], ...]
    """Each naming of the branches, with the ids of each branch."""
    question: tuple[int, ...]
    """What follows the branches: it sees all branches of one naming."""

    @property
    def context(self) -> int:
        """Number of positions."""
        return len(self.shared) + self._longest + len(self.question)

    @property
    def _longest(self) -> int:
        return max(len(branch) for naming in self.namings for branch in naming)

    @property
    def order(self) -> list[int]:
        """The order in which the namings are computed. It does not depend on the order of the branches."""
        by_branch = self._sorted_branches()
        return sorted(range(len(self.namings)), key=lambda n: [versions[n] for versions in by_branch])

    def nodes(self) -> list[Node]:
        """Return the parts that are computed: what the namings of a branch share, once.

        The last nodes are the questions, one for each naming, in their `order`. Branches are sorted: their
        order means nothing, and so it does not even change the rounding.
        """
        nodes = [Node(self.shared, 0, ())]
        seen: dict[int, list[int]] = {naming: [] for naming in self.order}
        for versions in self._sorted_branches():
            common = common_length(min(versions), max(versions))
            stem = len(nodes)
            nodes.append(Node(versions[0][:common], len(self.shared), (0,)))
            for naming, places in seen.items():
                places += [stem, len(nodes)]
                nodes.append(Node(versions[naming][common:], len(self.shared) + common, (0, stem)))
        start = len(self.shared) + self._longest
        return [*nodes, *(Node(self.question, start, (0, *places)) for places in seen.values())]

    def _sorted_branches(self) -> list[tuple[tuple[int, ...], ...]]:
        """Return the ids of each branch in each naming, in an order of the ids."""
        return sorted(zip(*self.namings, strict=True), key=lambda versions: (sorted(versions), versions))

    @property
    def ids(self) -> tuple[int, ...]:
        """The token ids of all nodes, one after the other."""
        return tuple(chain.from_iterable(node.ids for node in self.nodes()))


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
