"""Detection of degenerate repetition, which is common in models after too much training.

There are two criteria. First, the text ends in a loop: its last characters are one sequence, repeated at
least three times in a row. Second, most of its four-word sequences are repeats: the share of repeated
4-grams, 1 - distinct / all ("seq-rep-4", Welleck et al. 2019, arXiv 1908.04319, section 6), is above one
half. For 99 of 100 ordinary answers of assistants it is below 0.15. Case, spacing, bullets and list numbers
are ignored. A list with different entries is therefore not repetitive; a list that repeats one entry is.
"""

from __future__ import annotations

import re

LOOP_TIMES = 3
LOOP_CHARACTERS = 60
"""Minimum total length of a loop; it excludes "no, no, no" and "ha ha ha"."""
REPEATED_SHARE = 0.5
_MIN_WORDS = 40
"""Shorter texts are only searched for loops, because a few repeated words are a large share of them."""

_BULLET = re.compile(r"^[ \t]*(?:[-*•+]|\(?\d{1,3}[.):])[ \t]+", re.MULTILINE)
_RULED = "-_=*~ "
"""Characters of ruled lines, which are ignored at the end: an answer may end in a line to write on."""
_SEARCHED_CHARACTERS = 20_000
_N = 4


def is_repetitive(text: str) -> bool:
    """Return True if the text ends in a loop or mostly repeats its own word sequences."""
    plain = " ".join(_BULLET.sub("", text[-_SEARCHED_CHARACTERS:]).casefold().split())
    return _ends_in_a_loop(plain) or _repeats_its_words(plain)


def repeated_share(text: str) -> float:
    """Return the share of the text's word 4-grams that repeat an earlier one; 0 for fewer than 4 words."""
    words = re.findall(r"\w+", text)
    grams = [tuple(words[start : start + _N]) for start in range(len(words) - _N + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _repeats_its_words(plain: str) -> bool:
    return len(plain.split()) >= _MIN_WORDS and repeated_share(plain) > REPEATED_SHARE


def _ends_in_a_loop(plain: str) -> bool:
    """Return True if the text ends in a sequence repeated three or more times; the last may be incomplete."""
    backwards = plain.rstrip(_RULED)[::-1]
    return any(
        _periodic(backwards, period) >= max(LOOP_CHARACTERS, LOOP_TIMES * period)
        for period in range(1, len(backwards) // LOOP_TIMES + 1)
    )


def _periodic(text: str, period: int) -> int:
    """Return the length of the longest prefix that repeats the first `period` characters."""
    length = period
    while length < len(text) and text[length] == text[length - period]:
        length += 1
    return length
