"""Machine checks: whether an answer fulfils a principle that needs no model to be judged.

Each check passes or fails, and also gives a graded score, so that of two answers that both fail the nearer
one is known. A regular expression sees only the first `SEARCHED_CHARACTERS` of a text: that bounds a pattern
whose time grows with the square of the length. It does not bound one whose time grows exponentially, such as
`(a+)+$`; a constitution is written by the person who runs it, who can mend the pattern.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from constitution.check_kinds import Check, Contains, ContainsNone, Matches, MatchesNot, MaxWords, MinWords
from constitution.json_schema import SEARCHED_CHARACTERS


class CheckResult(NamedTuple):
    """How an answer did."""

    passed: bool
    score: float
    """In [0, 1]; 1 for an answer that passed, less for every other."""


def evaluate(check: Check, text: str) -> CheckResult:
    """Return whether `text` passes the check, and how near it comes.

    The scores of texts that fail: `max_words` limit/words, `min_words` words/limit, `regex` 0, `not_regex`
    1/(1 + matches), `contains` the share of phrases present, `contains_none` 1/(1 + phrases present).
    """
    match check:
        case MaxWords(value=limit):
            return _graded(limit / max(limit, count_words(text)))
        case MinWords(value=limit):
            return _graded(min(limit, count_words(text)) / limit)
        case Matches(value=pattern):
            return _graded(1.0 if matches(pattern, text) else 0.0)
        case MatchesNot(value=pattern):
            return _graded(1 / (1 + sum(1 for _ in re.finditer(pattern, text[:SEARCHED_CHARACTERS]))))
        case Contains(value=phrases):
            return _graded(_count_present(phrases, text) / len(phrases))
        case ContainsNone(value=phrases):
            return _graded(1 / (1 + _count_present(phrases, text)))
        case _:
            raise NotImplementedError(check.kind)


def count_words(text: str) -> int:
    """Return the number of words: runs without white space that hold a letter or digit of any script.

    So `well-known` is one word, a dash or bullet that stands alone is none, and a sentence in a script that
    writes no spaces is one word for each stretch between spaces.
    """
    return sum(any(character.isalnum() for character in run) for run in text.split())


def matches(pattern: str, text: str) -> bool:
    """Return whether the pattern is found in the searched part of a text."""
    return re.search(pattern, text[:SEARCHED_CHARACTERS]) is not None


def _graded(score: float) -> CheckResult:
    # A quotient of two counts is 1.0 only when they are equal, so this is exact.
    return CheckResult(score == 1.0, score)


def _count_present(phrases: Sequence[str], text: str) -> int:
    folded = _folded(text)
    return sum(_phrase_pattern(phrase).search(folded) is not None for phrase in phrases)


def _folded(text: str) -> str:
    """Return a text as phrases are compared: without case, typographic apostrophes or line breaks."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return " ".join(plain.split())


@lru_cache(maxsize=1024)
def _phrase_pattern(phrase: str) -> re.Pattern[str]:
    """Return the pattern that finds a phrase as whole words in a folded text."""
    folded = _folded(phrase)
    before = r"(?<!\w)" if _ends_a_word(folded[0]) else ""
    after = r"(?!\w)" if _ends_a_word(folded[-1]) else ""
    return re.compile(before + re.escape(folded) + after)


def _ends_a_word(edge: str) -> bool:
    """Whether a phrase with this character at its edge must not continue as a longer word there.

    Letters without case (category Lo) are excepted, since the scripts that write no spaces have such letters:
    there, a phrase has letters on both sides.
    """
    return edge.isalnum() and unicodedata.category(edge) != "Lo"
