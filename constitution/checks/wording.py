"""Phrase matching (whole words, case-insensitive), pronoun counts and the built-in phrase lists."""

from __future__ import annotations

import importlib.resources
import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache

from constitution.checks.prose import without_quotes

_FIRST = re.compile(r"\b(?:I|i(?='[mdvl])|[Mm]e|[Mm]y|[Mm]yself|[Ww]e|us|[Oo]urs?|[Oo]urselves)\b(?!\.\w)")
_SECOND = re.compile(r"\b(?:you|your|yours|yourself|yourselves)\b", re.IGNORECASE)
_NUMERAL = re.compile(
    r"\b(?:War|Part|Chapter|Type|Act|Book|Volume|Phase|Class|Stage|Article|Section|Elizabeth|Charles|James|George|"
    r"William|Henry|Francis|Napoleon|Nicholas) I\b|\bI(?=[.):]\s)"
)
"""Places where `I` is the Roman numeral one."""
_QUESTION_MARKS = "?？؟‽⁇⁈⁉﹖՞"
_NOT_AN_END = frozenset("\"'”’»)]}*_`~>」』）")
_ORNAMENTS = ("So", "Sk", "Mn", "Me", "Cf")
"""Unicode categories of emoji and their modifiers."""


def count_words(text: str) -> int:
    """Return the number of words: runs without white space that contain a letter or digit of any script.

    `well-known` is one word, and a dash or bullet by itself is not a word. In a script without spaces, each
    stretch between spaces counts as one word.
    """
    return sum(any(character.isalnum() for character in run) for run in text.split())


def count_present(phrases: Sequence[str], text: str) -> int:
    """Return how many of the phrases a text contains."""
    folded = _folded(text)
    return sum(_phrase_pattern(phrase).search(folded) is not None for phrase in phrases)


def begins_with(phrases: Sequence[str], text: str) -> bool:
    """Return whether a text begins with one of the phrases, optionally after leading symbols."""
    whole = _folded(text)
    bare = re.sub(r"^[\W_]+", "", whole)
    return any(_phrase_pattern(phrase).match(form) for phrase in phrases for form in (whole, bare))


def ends_with(phrases: Sequence[str], text: str) -> bool:
    """Return whether a text ends with one of the phrases, optionally before trailing symbols."""
    whole = _folded(text)
    bare = whole.rstrip("".join({character for character in whole[-1000:] if not character.isalnum()}))
    return any(_has_suffix(phrase, form) for phrase in phrases for form in (whole, bare))


def count_pronouns(text: str) -> tuple[int, int]:
    """Return the numbers of English first-person and second-person pronouns in a text.

    Passages in double quotation marks, quoted lines and code do not count.
    """
    own = _NUMERAL.sub(" ", without_quotes(text).replace("’", "'"))
    return sum(1 for _ in _FIRST.finditer(own)), sum(1 for _ in _SECOND.finditer(own))


def ends_with_question(text: str) -> bool:
    """Return whether a text ends with a question mark, ignoring closing marks, emoji and `!` after it."""
    for character in reversed(text):
        if character in _QUESTION_MARKS:
            return True
        ornament = unicodedata.category(character) in _ORNAMENTS
        if not (character.isspace() or character in _NOT_AN_END or character in "!！" or ornament):
            return False
    return False


@cache
def phrase_list(name: str) -> tuple[str, ...]:
    """Return the phrases of a built-in list. The files have one phrase per line; `#` begins a comment."""
    file = importlib.resources.files("constitution") / "phrases" / f"{name}.txt"
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def _folded(text: str) -> str:
    """Return a text normalised for comparison: case-folded, plain apostrophes, single spaces."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return " ".join(plain.split())


@lru_cache(maxsize=1024)
def _phrase_pattern(phrase: str) -> re.Pattern[str]:
    """Return the pattern that finds a phrase as whole words in a folded text."""
    folded = _folded(phrase)
    before = r"(?<!\w)" if _ends_a_word(folded[0]) else ""
    after = r"(?!\w)" if _ends_a_word(folded[-1]) else ""
    return re.compile(before + re.escape(folded) + after)


def _has_suffix(phrase: str, folded: str) -> bool:
    """Return whether a folded text ends with a phrase, as whole words."""
    start = len(folded) - len(_folded(phrase))
    return start >= 0 and _phrase_pattern(phrase).match(folded, start) is not None


def _ends_a_word(edge: str) -> bool:
    """Return whether a phrase with this character at its edge needs a word boundary there.

    Letters without case (category Lo) need none: they belong to scripts without spaces, where a phrase has
    letters on both sides.
    """
    return edge.isalnum() and unicodedata.category(edge) != "Lo"
