"""Rewards that tiny policies learn, some of which are easily gamed, and what is wanted beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from core.rewards import Sample
from tests.training.jobs import share_of

PRINTABLE = "".join(map(chr, range(33, 127)))


class Letters:
    """The share of some letters, or whatever a function makes of an answer."""

    def __init__(self, name: str, letters: str) -> None:
        self.name, self._letters = name, letters

    def scores(self, samples: Sequence[Sample]) -> list[float]:
        return [share_of(sample.text, self._letters) for sample in samples]


class Longer:
    """A reward that any text games: the longer, the better."""

    name = "longer"

    def scores(self, samples: Sequence[Sample]) -> list[float]:
        return [len(sample.text) / 24 for sample in samples]


class Brief:
    """Gold beside it: what is worth reading is short."""

    name = "brief"

    def scores(self, samples: Sequence[Sample]) -> list[float]:
        return [1 - len(sample.text) / 100 for sample in samples]


class Phrase:
    """A reward that a phrase games: short answers that begin like it."""

    name = "phrase"

    def scores(self, samples: Sequence[Sample]) -> list[float]:
        return [self._like("ibeh", s.text) / 4 - 0.05 * len(s.text) for s in samples]

    def _like(self, phrase: str, text: str) -> int:
        return max(n for n in range(len(phrase) + 1) if text.startswith(phrase[:n]))


class Varied:
    """Gold beside it: answers that are all alike lose a quarter of their worth."""

    name = "varied"

    def scores(self, samples: Sequence[Sample]) -> list[float]:
        counts = Counter(sample.text for sample in samples)
        return [1 - 0.25 * (counts[sample.text] - 1) / len(samples) for sample in samples]
