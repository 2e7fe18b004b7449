"""How alike texts are: two answers word by word, and which of many sentences say nearly the same."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

_N = 4
"""Letters of a gram: long enough that two sentences seldom share one by chance."""


def are_near_duplicates(first: str, second: str, threshold: float) -> bool:
    """Return whether two texts share at least `threshold` of their words, in order.

    The share is 2 M / N, with M words in matching runs and N words in both texts together. The two cheap
    upper bounds are tried first, so that most pairs never pay for the exact figure.
    """
    matcher = SequenceMatcher(None, first.split(), second.split(), autojunk=False)
    return (
        matcher.real_quick_ratio() >= threshold
        and matcher.quick_ratio() >= threshold
        and matcher.ratio() >= threshold
    )


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are compared: without case, punctuation or apostrophes."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("'", "")
    return re.findall(r"\w+", plain)


def gram_similarity(first: str, second: str) -> float:
    """Return the Jaccard similarity of two texts' sets of four letters in a row, in [0, 1]."""
    one, two = _grams(first), _grams(second)
    return len(one & two) / len(one | two) if one or two else 1.0


def near_duplicates(texts: Sequence[str], threshold: float) -> Iterator[tuple[int, int]]:
    """Yield (later, earlier) for each text whose `gram_similarity` to an earlier one reaches the threshold.

    The earlier one is the first that is itself like none before it, so that ten like texts give nine pairs.
    Only texts that share one of their rarest grams are compared (prefix filtering: Chaudhuri, Ganti and
    Kaushik, "A primitive operator for similarity joins", 2006): two sets of similarity t share at least one
    of the first |x| - ceil(t |x|) + 1 elements in a common order.
    """
    grams = [_grams(text) for text in texts]
    frequency = Counter(gram for members in grams for gram in members)
    index: dict[str, list[int]] = defaultdict(list)
    for later, members in enumerate(grams):
        rarest = sorted(members, key=lambda gram: (frequency[gram], gram))
        prefix = rarest[: len(members) - math.ceil(threshold * len(members)) + 1]
        candidates = sorted({earlier for gram in prefix for earlier in index[gram]})
        like = next((e for e in candidates if _reach(members, grams[e], threshold)), None)
        if like is not None:
            yield later, like
            continue
        for gram in prefix:
            index[gram].append(later)


def _reach(one: set[str], two: set[str], threshold: float) -> bool:
    small, large = sorted((len(one), len(two)))
    if small < threshold * large:
        return False
    common = len(one & two)
    return common >= threshold * (small + large - common)


def _grams(text: str) -> set[str]:
    plain = f" {' '.join(words_of(text))} "
    return {plain[start : start + _N] for start in range(max(1, len(plain) - _N + 1))}
