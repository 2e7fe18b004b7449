"""Text similarity: shared words of two answers, word diffs, and near-duplicates among many sentences."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence, Set
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

_BASE, _MODULUS = 1_000_003, (1 << 61) - 1
"""Of the polynomial hashes of runs of words; two runs of thousands collide once in about 10**12 texts."""
_N = 4
"""Letters in a gram; long enough that two sentences seldom share one by chance."""

WordChange = Literal["same", "removed", "added"]


def shared_words(first: str, second: str, at_least: float) -> float:
    """Return the share of words that two texts have in common, in order; 0 if it is below `at_least`.

    The share is 2 M / N, with M words in matching runs and N words in both texts together. Two cheap upper
    bounds are computed first, so the exact share is not needed for most pairs.
    """
    matcher = SequenceMatcher(None, first.split(), second.split(), autojunk=False)
    if matcher.real_quick_ratio() < at_least or matcher.quick_ratio() < at_least:
        return 0.0
    share = matcher.ratio()
    return share if share >= at_least else 0.0


def word_changes(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[Sequence[str], WordChange]]:
    """Yield the runs of words of two texts in order, each unchanged, removed or added."""
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind == "equal":
            yield before[i1:i2], "same"
            continue
        if i2 > i1:
            yield before[i1:i2], "removed"
        if j2 > j1:
            yield after[j1:j2], "added"


def are_near_duplicates(first: str, second: str, threshold: float) -> bool:
    """Return True if two texts share at least `threshold` (greater than 0) of their words, in order."""
    return shared_words(first, second, threshold) >= threshold


class CommonRun(NamedTuple):
    """A run of words that two texts share."""

    start: int
    """Position of its first word in the first text."""
    size: int


def longest_common_run(first: str, second: str) -> CommonRun:
    """Return the longest run of words, by `words_of`, that two texts share; the first one in `first`.

    The length is found by bisection, since a common run of n words contains one of n - 1. Runs are compared
    by polynomial hashes (Karp and Rabin 1987), so n words take a time of n log n even if all are equal.
    """
    ids: dict[str, int] = defaultdict(lambda: len(ids) + 1)
    one, two = ([ids[word] for word in words_of(text)] for text in (first, second))
    run, shortest, longest = CommonRun(0, 0), 0, min(len(one), len(two))
    while shortest < longest:
        size = (shortest + longest + 1) // 2
        known = frozenset(_run_hashes(two, size))
        start = next((place for place, value in enumerate(_run_hashes(one, size)) if value in known), None)
        if start is None:
            longest = size - 1
        else:
            run, shortest = CommonRun(start, size), size
    return run


def _run_hashes(words: Sequence[int], size: int) -> Iterator[int]:
    """Yield a hash of each run of `size` words."""
    leading, value = pow(_BASE, size, _MODULUS), 0
    for place, word in enumerate(words):
        value = (value * _BASE + word) % _MODULUS
        if place >= size:
            value = (value - words[place - size] * leading) % _MODULUS
        if place >= size - 1:
            yield value


def words_of(text: str) -> list[str]:
    """Return the words of a text for comparison: without case, punctuation or apostrophes."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("'", "")
    return re.findall(r"\w+", plain)


def near_duplicates(texts: Sequence[str], threshold: float) -> Iterator[tuple[int, int]]:
    """Yield the positions (later, earlier) of each text that is a near-duplicate of an earlier one.

    Two texts are near-duplicates if the Jaccard similarity of their sets of letter 4-grams is at least
    `threshold`. Case and punctuation are ignored. The earlier text is the first similar one that is not
    itself a near-duplicate, so ten similar texts give nine pairs.

    Only texts that share one of their rarest grams are compared (prefix filtering: Chaudhuri, Ganti and
    Kaushik, "A primitive operator for similarity joins", 2006): two sets of similarity t share at least one
    of the first |x| - ceil(t |x|) + 1 elements in a common order.
    """
    grams = [_grams(text) for text in texts]
    frequency = Counter(gram for members in grams for gram in members)
    rank = {gram: place for place, (gram, _) in enumerate(frequency.most_common())}
    masks = [_mask(rank[gram] for gram in members) for members in grams]
    index: dict[str, list[int]] = defaultdict(list)
    for later, members in enumerate(grams):
        rarest = sorted(members, key=rank.__getitem__, reverse=True)
        prefix = rarest[: len(members) - math.ceil(threshold * len(members)) + 1]
        candidates = sorted({earlier for gram in prefix for earlier in index[gram]})
        mask = masks[later]
        like = next((e for e in candidates if _similarity(mask, masks[e]) >= threshold), None)
        if like is not None:
            yield later, like
            # Not indexed, so later texts are paired with the first of a group of similar texts only.
            continue
        for gram in prefix:
            index[gram].append(later)


def with_similar(sets: Sequence[Set[Hashable]], threshold: float) -> list[bool]:
    """Return for each set whether another one is similar to it: Jaccard similarity of at least `threshold`.

    Empty sets are similar to none. Only sets that share one of their rarest elements are compared, as in
    `near_duplicates`.

    Args:
        sets: the features of each text, such as its word 4-grams.
        threshold: in (0, 1].
    """
    frequency = Counter(element for members in sets for element in members)
    rank = {element: place for place, (element, _) in enumerate(frequency.most_common())}
    index: dict[Hashable, list[int]] = defaultdict(list)
    similar = [False] * len(sets)
    for later, members in enumerate(sets):
        rarest = sorted(members, key=rank.__getitem__, reverse=True)
        prefix = rarest[: len(members) - math.ceil(threshold * len(members)) + 1]
        for earlier in sorted({place for element in prefix for place in index[element]}):
            if similar[earlier] and similar[later]:
                continue  # nothing left to find out
            shared = len(members & sets[earlier])
            if shared >= threshold * (len(members) + len(sets[earlier]) - shared):
                similar[earlier] = similar[later] = True
        for element in prefix:
            index[element].append(later)
    return similar


def word_grams(text: str, length: int) -> frozenset[tuple[str, ...]]:
    """Return the sequences of `length` words in a text, without case and punctuation.

    A shorter text has one gram: all of its words, or the text itself if it has none. An empty one has none.
    """
    words = words_of(text) or text.split()
    starts = range(max(1, len(words) - length + 1)) if words else ()
    return frozenset(tuple(words[start : start + length]) for start in starts)


def _mask(places: Iterable[int]) -> int:
    """Return an integer with these bits set; intersecting integers is twenty times as fast as sets."""
    octets = bytearray()
    for place in sorted(places, reverse=True):
        octets = octets or bytearray(place // 8 + 1)
        octets[place // 8] |= 1 << place % 8
    return int.from_bytes(octets, "little")


def _similarity(one: int, two: int) -> float:
    return (one & two).bit_count() / (one | two).bit_count()


def _grams(text: str) -> set[str]:
    plain = f" {' '.join(words_of(text))} "
    return {plain[start : start + _N] for start in range(max(1, len(plain) - _N + 1))}
