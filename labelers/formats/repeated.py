"""Texts that are an answer to most prompts of a data set: what is learned from them ignores the prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

_SHARE, _FEWEST = 0.5, 5
"""Share of the prompts from which a text is worth a word, and the fewest prompts."""
_LOOKED_AT = 20_000
"""Prompts that are looked at, so that a large import does not fill the memory."""
_SHOWN, _TEXTS = 40, 2
"""Characters of a text that are shown, and how many texts."""


@dataclass
class RepeatedAnswers:
    """Counts for each answer the prompts that it is an answer to."""

    _prompts: set[int] = field(default_factory=set)
    _seen: set[tuple[int, int]] = field(default_factory=set)
    """Prompts with their answers: those of one prompt are often in several pairs."""
    _counts: Counter[int] = field(default_factory=Counter)
    _texts: dict[int, str] = field(default_factory=dict)
    """The beginnings of texts that occur again."""

    def add(self, prompt: Hashable, answers: Iterable[str]) -> None:
        """Count the answers to a prompt."""
        own = hash(prompt)
        if own not in self._prompts and len(self._prompts) >= _LOOKED_AT:
            return
        self._prompts.add(own)
        for answer in answers:
            words = " ".join(answer.split())
            text = hash(words)
            if not words or (own, text) in self._seen:
                continue
            self._seen.add((own, text))
            self._counts[text] += 1
            if self._counts[text] > 1:
                self._texts.setdefault(text, words[:_SHOWN] + ("..." if len(words) > _SHOWN else ""))

    def line(self) -> str | None:
        """Return which texts are an answer to at least half of the prompts; None if there is none."""
        total = len(self._prompts)
        most = [found for found in self._counts.most_common(_TEXTS) if found[1] >= _SHARE * total]
        if total < _FEWEST or not most:
            return None
        texts = " and ".join(f"{self._texts[text]!r} to {count:,}" for text, count in most)
        which = "the first " if total >= _LOOKED_AT else ""
        return (
            f"the same text is an answer to many of {which}{total:,} prompts: {texts}; "
            "what such answers teach or measure does not depend on the prompt"
        )
