"""Evaluate machine checks on answers.

`constitution.checks.kinds` defines, for each kind, when an answer passes and the score of a failing one. The
scores rank two answers that both fail.

A regular expression is searched only in the first `SEARCHED_CHARACTERS` of a text. This bounds patterns whose
time is quadratic in the length, but not exponential ones such as `(a+)+$`. Python cannot interrupt a running
search without killing its process. Constitutions are written by the person who runs them, so fixing the
pattern is left to the author.
"""

from __future__ import annotations

import re
import unicodedata
from functools import singledispatch
from typing import NamedTuple

from constitution.checks import kinds
from constitution.checks.json_schema import NotJson, count_errors, parse_answer
from constitution.checks.kinds import Check
from constitution.checks.language import SAME, language_probability
from constitution.checks.prose import count_list_items, list_share, sentences
from constitution.checks.refusal import refuses
from constitution.checks.wording import (
    begins_with,
    count_present,
    count_pronouns,
    count_words,
    ends_with,
    ends_with_question,
    phrase_list,
)
from constitution.fields import SEARCHED_CHARACTERS
from core.code import foreign_errors, known_function
from core.errors import ConfigError

__all__ = [
    "SEARCHED_CHARACTERS",
    "CheckResult",
    "count_characters",
    "count_words",
    "evaluate",
    "longest_sentence",
    "matches",
    "reading_grade",
]


class CheckResult(NamedTuple):
    """Result of a check on one answer."""

    passed: bool
    score: float
    """Score in [0, 1]; 1 exactly if the answer passed."""


def evaluate(check: Check, text: str) -> CheckResult:
    """Return whether `text` passes the check, and its score. The check's docstring defines both.

    Raises:
        ConfigError: A user-defined function raised, or returned an invalid value.
    """
    score = _score(check, text)
    # A quotient of two counts is 1.0 only when they are equal, so this is exact.
    return CheckResult(score == 1.0, score)


def matches(pattern: str, text: str) -> bool:
    """Return whether the pattern is found in the first `SEARCHED_CHARACTERS` of a text."""
    return re.search(pattern, text[:SEARCHED_CHARACTERS]) is not None


def longest_sentence(text: str) -> str:
    """Return the first of the sentences of a text with the most words; empty if it has none."""
    return max(sentences(text), key=count_words, default="")


def reading_grade(text: str) -> float | None:
    """Return the Automated Readability Index of a text (Senter and Smith 1967); None if it has no words.

    The grade is 4.71 letters and digits per word + 0.5 words per sentence - 21.43. Fenced code and list
    numbers do not count.
    """
    found = list(sentences(text))
    if not found:
        return None
    words = sum(map(count_words, found))
    letters = sum(character.isalnum() for sentence in found for character in sentence)
    return 4.71 * letters / words + 0.5 * words / len(found) - 21.43


@singledispatch
def _score(check: Check, text: str) -> float:
    """Return the score of an answer, 1 exactly if it passes."""
    raise AssertionError(f"no rule for {type(check).__name__}")


def _at_most(limit: float, found: float) -> float:
    return limit / max(limit, found)


def _at_least(limit: float, found: float) -> float:
    return max(0.0, min(limit, found)) / limit


@_score.register
def _(check: kinds.MaxWords, text: str) -> float:
    return _at_most(check.value, count_words(text))


@_score.register
def _(check: kinds.MinWords, text: str) -> float:
    return _at_least(check.value, count_words(text))


@_score.register
def _(check: kinds.MaxSentences, text: str) -> float:
    return _at_most(check.value, sum(1 for _ in sentences(text)))


@_score.register
def _(check: kinds.MinSentences, text: str) -> float:
    return _at_least(check.value, sum(1 for _ in sentences(text)))


@_score.register
def _(check: kinds.MaxSentenceWords, text: str) -> float:
    return _at_most(check.value, count_words(longest_sentence(text)))


@_score.register
def _(check: kinds.MaxCharacters, text: str) -> float:
    return _at_most(check.value, count_characters(text))


@_score.register
def _(check: kinds.MinCharacters, text: str) -> float:
    return _at_least(check.value, count_characters(text))


@_score.register
def _(check: kinds.MaxListItems, text: str) -> float:
    return _at_most(check.value, count_list_items(text))


def count_characters(text: str) -> int:
    """Return the number of code points of a text (composed, NFC), without white space at the ends."""
    return len(unicodedata.normalize("NFC", text.strip()))


@_score.register
def _(check: kinds.Matches, text: str) -> float:
    return float(matches(check.value, text))


@_score.register
def _(check: kinds.NotMatches, text: str) -> float:
    return 1 / (1 + sum(1 for _ in re.finditer(check.value, text[:SEARCHED_CHARACTERS])))


@_score.register
def _(check: kinds.Contains, text: str) -> float:
    return count_present(check.value, text) / len(check.value)


@_score.register
def _(check: kinds.ContainsAny, text: str) -> float:
    return float(count_present(check.value, text) > 0)


@_score.register
def _(check: kinds.ContainsNone, text: str) -> float:
    return 1 / (1 + count_present(check.value, text))


@_score.register
def _(check: kinds.StartsWith, text: str) -> float:
    return float(begins_with(check.value, text))


@_score.register
def _(check: kinds.NotStartsWith, text: str) -> float:
    return float(not begins_with(check.value, text))


@_score.register
def _(check: kinds.EndsWith, text: str) -> float:
    return float(ends_with(check.value, text))


@_score.register
def _(check: kinds.NotEndsWith, text: str) -> float:
    return float(not ends_with(check.value, text))


@_score.register
def _(check: kinds.MaxGrade, text: str) -> float:
    return _at_most(check.value, reading_grade(text) or 0.0)


@_score.register
def _(check: kinds.MinGrade, text: str) -> float:
    return _at_least(check.value, reading_grade(text) or 0.0)


@_score.register
def _(check: kinds.JsonAnswer, text: str) -> float:
    try:
        value = parse_answer(text)
    except NotJson:
        return 0.0
    return 1 / (1 + count_errors(check.value, value))


@_score.register
def _(check: kinds.Language, text: str) -> float:
    if check.value == SAME:  # without a question; `constitution.checks.prompted` reads it
        return 1.0
    passed, probability = language_probability(text[:SEARCHED_CHARACTERS], check.value)
    return 1.0 if passed else probability


@_score.register
def _(check: kinds.Format, text: str) -> float:
    entries, listed = list_share(text)
    if check.value == "prose":
        return 1.0 if entries < 2 else 1 - listed
    return min(1.0, 2 * listed) * min(1.0, entries / 2)


@_score.register
def _(check: kinds.Person, text: str) -> float:
    first, second = count_pronouns(text)
    if check.value == "first":
        return float(first > 0)
    if check.value == "second":
        return second / (first + second) if second else 0.0
    return 1 / (1 + first + second)


@_score.register
def _(check: kinds.EndsWithQuestion, text: str) -> float:
    return float(ends_with_question(text) is check.value)


@_score.register
def _(check: kinds.PhraseList, text: str) -> float:
    return 1 / (1 + count_present(phrase_list(check.value), text))


@_score.register
def _(check: kinds.Refusal, text: str) -> float:
    return float(refuses(text) is check.value)


@_score.register
def _(check: kinds.PythonCheck, text: str) -> float:
    accepted = "true, false, or a number in [0, 1] for every text"
    with foreign_errors(lambda: f"the function {check.value} failed", "check: python", accepted):
        verdict = known_function(check.value)(text)
        verdict = verdict.item() if hasattr(verdict, "item") else verdict  # convert NumPy scalars
    if not isinstance(verdict, int | float) or not 0 <= verdict <= 1:
        what = f"the function {check.value} returned {verdict!r:.60}"
        raise ConfigError(what, where="check: python", accepted=accepted)
    return float(verdict)
