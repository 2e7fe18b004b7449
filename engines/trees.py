"""A prompt with several answers, as token ids, and how such rows are grouped under a bound on memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tree:
    """A prompt and the answers to it, as token ids."""

    prompt_ids: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.prompt_ids) + sum(map(len, self.answers))


def micro_batches(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Return the indices of rows in groups that hold at most `budget` tokens each, longest rows first.

    A row that is longer than the budget goes alone. Longest first, so that a lack of memory shows at the
    first step and groups are filled well; each row goes to the first group that has room for it.
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
