"""Detection of boilerplate: a phrase that many answers to different questions share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_N = 5
"""Number of words in a phrase; long enough that ordinary language seldom repeats one by chance."""
_SEARCHED_CHARACTERS = 20_000


def boilerplate_share(texts: Iterable[str]) -> float:
    """Return the share of texts that contain the most common phrase of five words.

    A text of fewer than five words counts as one phrase. Case, punctuation and spacing are ignored. The same
    text as an answer to different questions is boilerplate too. Returns 0 if no phrase is in two texts.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    total = 0
    for text in texts:
        total += 1
        counts.update(_phrases(text))
    most = max(counts.values(), default=0)
    return most / total if most > 1 else 0.0


def _phrases(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text[:_SEARCHED_CHARACTERS].casefold())
    return {tuple(words[start : start + _N]) for start in range(max(1, len(words) - _N + 1))}
