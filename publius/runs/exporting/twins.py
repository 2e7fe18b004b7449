"""Texts that share much of their wording, also where many others share it: those of one template."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from core.store.near_duplicates import grams_of

_ROUNDING = 1e-9


class SharedGrams:
    """Texts by their letter 4-grams, all of which count, for the question which of them are similar.

    Similarity is Jaccard's, and exact: only texts that share one of their rarest grams are compared, as in
    `core.text.similarity.near_duplicates`. All texts are in memory.

    Args:
        texts: all texts that will be asked about, by their places.
        threshold: the similarity from which two texts are similar, in (0, 1].
    """

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        self._threshold = threshold
        self._grams: list[frozenset[int]] = [frozenset(grams_of(text).tolist()) for text in texts]
        frequency = Counter(gram for grams in self._grams for gram in grams)
        self._prefixes = [self._prefix(grams, frequency) for grams in self._grams]
        self._index: defaultdict[int, list[int]] = defaultdict(list)

    def add(self, place: int) -> None:
        """Remember a text, for those that are asked about later."""
        for gram in self._prefixes[place]:
            self._index[gram].append(place)

    def similar(self, place: int, is_wanted: Callable[[int], bool]) -> Iterator[int]:
        """Yield the remembered texts that a text is similar to, of those wanted when their turn comes."""
        own, compared = self._grams[place], set[int]()
        for gram in self._prefixes[place]:
            for other in self._index[gram]:
                if other not in compared and is_wanted(other):
                    compared.add(other)
                    if self._are_similar(own, self._grams[other]):
                        yield other

    def _prefix(self, grams: frozenset[int], frequency: Counter[int]) -> list[int]:
        """Return the rarest grams, of which a similar text has at least one among its own rarest."""
        length = len(grams) - math.ceil(self._threshold * len(grams) - _ROUNDING) + 1
        return sorted(grams, key=lambda gram: (frequency[gram], gram))[:length]

    def _are_similar(self, one: frozenset[int], other: frozenset[int]) -> bool:
        shared = len(one & other)
        return shared >= self._threshold * (len(one) + len(other) - shared) - _ROUNDING
