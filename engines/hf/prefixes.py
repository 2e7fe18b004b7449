"""Keys and values of finished conversations, which the next requests that begin like them reuse.

A critique is asked for behind the draft, and the revision behind the critique: each request repeats the
conversation so far. Its keys and values depend on nothing that follows, so they are computed once. The same
holds for two replies that are judged again and again, under a principle that is being edited.
(Prefix caching, as in vLLM: Kwon et al. 2023, arXiv 2309.06180, section 4.4, here by whole rows.)
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from engines.hf.kv_cache import States
from engines.trees import common_length

_WORTH = 8
"""Shortest prefix that is reused: a shorter one costs more in attention masks than it saves."""


@dataclass(slots=True)
class Prefix:
    """The part of a stored row with which a prompt begins."""

    length: int
    """Number of tokens; 0 if no stored row begins like the prompt."""
    states: States = ()
    """Keys and values (1, K, length, D) in each layer; views of the stored row."""


@dataclass(slots=True)
class _Stored:
    states: States
    size: int
    used: int


class PrefixStore:
    """Stores rows by their token ids, within a bound on memory; the longest unused ones are dropped first.

    Rows of one model with one adapter only: a store belongs to one loaded model.

    Args:
        max_bytes: bound on the memory of all keys and values; 0 to store nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        # In order of their tokens, the row that shares most with a prompt is next to the prompt's own place.
        self._order: list[tuple[int, ...]] = []
        self._rows: dict[tuple[int, ...], _Stored] = {}
        self._clock = 0
        self.size = 0
        """Bytes of all keys and values."""

    def __len__(self) -> int:
        return len(self._order)

    def find(self, prompt: tuple[int, ...]) -> Prefix:
        """Return the longest stored prefix of a prompt, without its last token, which is always computed."""
        place = bisect_left(self._order, prompt)
        near = self._order[max(0, place - 1) : place + 1]
        best = max(near, key=lambda row: common_length(row, prompt), default=())
        length = min(common_length(best, prompt), len(prompt) - 1)
        if length < _WORTH:
            return Prefix(0)
        stored = self._rows[best]
        self._clock += 1
        stored.used = self._clock
        return Prefix(
            length, [(keys[:, :, :length], values[:, :, :length]) for keys, values in stored.states]
        )

    def is_mostly_new(self, prompt: tuple[int, ...]) -> bool:
        """Return True if a row may be stored, and less than half of it is stored already."""
        return self.takes(prompt) and 2 * self.find(prompt).length < len(prompt)

    def takes(self, row: tuple[int, ...]) -> bool:
        """Return True if a row should be stored: it may be, and no stored row begins with it."""
        if not self._max_bytes or len(row) < _WORTH:
            return False
        place = bisect_left(self._order, row)
        return place == len(self._order) or self._order[place][: len(row)] != row

    def store(self, row: tuple[int, ...], states: States) -> None:
        """Store a row's keys and values (1, K, S, D), S being its number of tokens.

        Rows that it begins with are no longer needed and dropped.
        """
        if not self.takes(row):
            return
        place = bisect_left(self._order, row)
        while place > 0 and row[: len(self._order[place - 1])] == self._order[place - 1]:
            place -= 1
            self._drop(self._order[place])
        size = sum(part.numel() * part.element_size() for layer in states for part in layer)
        self._clock += 1
        self._order.insert(place, row)
        self._rows[row] = _Stored(states, size, self._clock)
        self.size += size
        while self.size > self._max_bytes:
            self._drop(min(self._rows, key=lambda other: self._rows[other].used))

    def _drop(self, row: tuple[int, ...]) -> None:
        self.size -= self._rows.pop(row).size
        del self._order[bisect_left(self._order, row)]
