"""Whether a model has fallen into repeating itself, as models do after too much training.

Two signs are looked for. A text that ends in a loop: its last characters are one stretch, written at least
three times in a row. And a text whose four-word sequences are mostly not new: the share of repeated
4-grams, 1 - distinct / all ("seq-rep-4", Welleck et al. 2019, arXiv 1908.04319, section 6), is above one
half, where 99 of 100 ordinary answers of assistants lie below 0.15. Case, spacing and the bullets and numbers
of lists do not count, so that a list whose entries differ is no repetition, and a list of one entry over and
over is.
"""

from __future__ import annotations

import re

LOOP_TIMES = 3
LOOP_CHARACTERS = 60
"""A loop is at least so long in all, so that "no, no, no" and "ha ha ha" are none."""
REPEATED_SHARE = 0.5
_MIN_WORDS = 40
"""Shorter texts are only searched for loops: a few words that return are a large share of them."""

_BULLET = re.compile(r"^[ \t]*(?:[-*•+]|\(?\d{1,3}[.):])[ \t]+", re.MULTILINE)
_RULED = "-_=*~ "
"""What lines are drawn with: an answer may end in a line to write on."""
_SEARCHED_CHARACTERS = 20_000
_N = 4


def is_repetitive(text: str) -> bool:
    """Return whether the text ends in a loop or mostly repeats its own word sequences."""
    plain = " ".join(_BULLET.sub("", text[-_SEARCHED_CHARACTERS:]).casefold().split())
    return _ends_in_a_loop(plain) or _repeats_its_words(plain)


def repeated_share(text: str) -> float:
    """Return the share of the text's 4-grams of words that stood in it before; 0 for fewer than 4 words."""
    words = re.findall(r"\w+", text)
    grams = [tuple(words[start : start + _N]) for start in range(len(words) - _N + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _repeats_its_words(plain: str) -> bool:
    return len(plain.split()) >= _MIN_WORDS and repeated_share(plain) > REPEATED_SHARE


def _ends_in_a_loop(plain: str) -> bool:
    """Whether the end is one stretch at least three times over; the last may be cut short."""
    backwards = plain.rstrip(_RULED)[::-1]
    return any(
        _periodic(backwards, period) >= max(LOOP_CHARACTERS, LOOP_TIMES * period)
        for period in range(1, len(backwards) // LOOP_TIMES + 1)
    )


def _periodic(text: str, period: int) -> int:
    """Return how many characters from the beginning on are the first `period` ones over and over."""
    length = period
    while length < len(text) and text[length] == text[length - period]:
        length += 1
    return length
