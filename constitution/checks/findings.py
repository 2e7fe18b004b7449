"""State in words what a failed machine check found: a fault that is certainly there.

A finding has the answer as its subject: `it has 132 words, and the limit is 60`. It contains numbers and the
values of the check, never text of the answer: critics are shown it. `matched_texts` is for people.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import singledispatch
from itertools import islice

from constitution.checks import kinds
from constitution.checks.evaluate import (
    count_characters,
    count_words,
    evaluate,
    longest_sentence,
    reading_grade,
)
from constitution.checks.json_schema import NotJson, count_errors, parse_answer
from constitution.checks.kinds import Check
from constitution.checks.prose import count_list_items, list_share, sentences
from constitution.checks.wording import count_present, count_pronouns, phrase_list
from constitution.fields import SEARCHED_CHARACTERS
from core.notices import counted

SHOWN_MATCHES = 5
MATCHED_CHARACTERS = 40
NOTHING_FITS = "nothing in it fits the rule's pattern"
SOMETHING_FITS = "something in it fits the rule's pattern"
REJECTS = "the rule's own check rejects it"
"""Findings for people of patterns, the second one where only white space was matched, and of own checks."""


def finding(check: Check, text: str) -> str | None:
    """Return what is wrong with an answer by a check, as a clause about `it`; None if it passes."""
    return None if evaluate(check, text).passed else _finding(check, text)


def finding_for_people(text: str, check: Check, found: str, matched: Sequence[str] = ()) -> str:
    """Return a finding for people: of a pattern what it matched, or behind the rule's text that nothing fits.

    Neither a pattern nor the name of a check of one's own is shown: `finding` has both, for authors.

    Of a sentence that is too long, its beginning is behind the finding.

    Args:
        text: text of the principle.
        check: its check.
        found: the finding, as `finding` returns it.
        matched: what the check is about, as `matched_texts` returns it.
    """
    if matched and isinstance(check, kinds.MaxSentenceWords):
        return f"{found}: {_quoted(matched, 'and')}"
    if matched:
        return f"it has {_quoted(matched, 'and')}"
    if isinstance(check, kinds.Matches):
        found = NOTHING_FITS
    elif isinstance(check, kinds.NotMatches):
        found = SOMETHING_FITS
    elif isinstance(check, kinds.PythonCheck):
        found = REJECTS
    else:
        return found
    return f"{_rule(text)}: {found}"


def finding_beside_rule(text: str, told: str) -> str:
    """Return a finding of `finding_for_people` for a place where the rule's text stands beside it."""
    return told.removeprefix(f"{_rule(text)}: ")


def _rule(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def matched_texts(check: Check, text: str) -> tuple[str, ...]:
    """Return the texts that a forbidden pattern matches in an answer, each once, at most `SHOWN_MATCHES`.

    For a limit on the words of a sentence it is the longest one, if that has more. A long text is cut off
    after `MATCHED_CHARACTERS`. Empty for other kinds: their findings name the phrases.
    """
    if isinstance(check, kinds.MaxSentenceWords):
        found = iter(() if evaluate(check, text).passed else (longest_sentence(text),))
    elif isinstance(check, kinds.NotMatches):
        found = (match[0].strip() for match in re.finditer(check.value, text[:SEARCHED_CHARACTERS]))
    else:
        return ()
    shown = (
        one if len(one) <= MATCHED_CHARACTERS else f"{one[:MATCHED_CHARACTERS]}…" for one in found if one
    )
    return tuple(islice(dict.fromkeys(shown), SHOWN_MATCHES))


@singledispatch
def _finding(check: Check, text: str) -> str:
    """Return the finding about an answer that fails."""
    raise AssertionError(f"no finding for {type(check).__name__}")


def _over(found: int, limit: int, unit: str) -> str:
    return f"it has {counted(found, unit)}, and the limit is {limit:,}"


def _under(found: int, limit: int, unit: str) -> str:
    return f"it has {counted(found, unit)}, and at least {limit:,} are required"


def _told_apart(found: float, limit: float) -> str:
    """Return a number with as many decimals as it takes to be on its side of the limit."""
    rounded = (f"{round(found, digits) + 0.0:.{digits}f}" for digits in range(1, 10))
    sides = ((text, float(text) - limit) for text in rounded)
    return next((text for text, apart in sides if apart * (found - limit) > 0), f"{found}")


def _quoted(phrases: Sequence[str], word: str) -> str:
    """Return phrases in quotation marks, the last two joined by `and` or `or`."""
    *others, last = (f'"{phrase}"' for phrase in phrases)
    return f"{', '.join(others)} {word} {last}" if others else last


def _found(phrases: Sequence[str], text: str) -> list[str]:
    return [phrase for phrase in phrases if count_present((phrase,), text)]


@_finding.register
def _(check: kinds.MaxWords, text: str) -> str:
    return _over(count_words(text), check.value, "word")


@_finding.register
def _(check: kinds.MinWords, text: str) -> str:
    return _under(count_words(text), check.value, "word")


@_finding.register
def _(check: kinds.MaxSentences, text: str) -> str:
    return _over(sum(1 for _ in sentences(text)), check.value, "sentence")


@_finding.register
def _(check: kinds.MinSentences, text: str) -> str:
    return _under(sum(1 for _ in sentences(text)), check.value, "sentence")


@_finding.register
def _(check: kinds.MaxSentenceWords, text: str) -> str:
    words = counted(count_words(longest_sentence(text)), "word")
    return f"it has a sentence of {words}, and the limit is {check.value:,}"


@_finding.register
def _(check: kinds.MaxCharacters, text: str) -> str:
    return _over(count_characters(text), check.value, "character")


@_finding.register
def _(check: kinds.MinCharacters, text: str) -> str:
    return _under(count_characters(text), check.value, "character")


@_finding.register
def _(check: kinds.MaxListItems, text: str) -> str:
    return _over(count_list_items(text), check.value, "list item")


@_finding.register
def _(check: kinds.Matches, text: str) -> str:
    return f"it has no text that the regular expression {check.value} finds"


@_finding.register
def _(check: kinds.NotMatches, text: str) -> str:
    return f"it has text that the regular expression {check.value} finds"


@_finding.register
def _(check: kinds.Contains, text: str) -> str:
    present = _found(check.value, text)
    return f"it lacks {_quoted([phrase for phrase in check.value if phrase not in present], 'and')}"


@_finding.register
def _(check: kinds.ContainsAny, text: str) -> str:
    return f"it contains neither {_quoted(check.value, 'nor')}" if len(check.value) > 1 else _lacks(check)


def _lacks(check: kinds.ContainsAny) -> str:
    return f"it lacks {_quoted(check.value, 'or')}"


@_finding.register
def _(check: kinds.ContainsNone, text: str) -> str:
    return f"it contains {_quoted(_found(check.value, text), 'and')}"


@_finding.register
def _(check: kinds.PhraseList, text: str) -> str:
    return f"it contains {_quoted(_found(phrase_list(check.value), text), 'and')}"


@_finding.register
def _(check: kinds.StartsWith, text: str) -> str:
    return f"it does not begin with {_quoted(check.value, 'or')}"


@_finding.register
def _(check: kinds.NotStartsWith, text: str) -> str:
    return f"it begins with {_quoted(check.value, 'or')}"


@_finding.register
def _(check: kinds.EndsWith, text: str) -> str:
    return f"it does not end with {_quoted(check.value, 'or')}"


@_finding.register
def _(check: kinds.NotEndsWith, text: str) -> str:
    return f"it ends with {_quoted(check.value, 'or')}"


@_finding.register
def _(check: kinds.MaxGrade, text: str) -> str:
    grade = _told_apart(reading_grade(text) or 0.0, check.value)
    return f"it reads at school grade {grade}, and the limit is {check.value:g}"


@_finding.register
def _(check: kinds.MinGrade, text: str) -> str:
    grade = reading_grade(text)
    if grade is None:
        return "it has no words"
    return f"it reads at school grade {_told_apart(grade, check.value)}, below {check.value:g}"


@_finding.register
def _(check: kinds.JsonAnswer, text: str) -> str:
    try:
        value = parse_answer(text)
    except NotJson:
        return "it is not JSON without any other text"
    return f"it has {counted(count_errors(check.value, value), 'error')} by the JSON schema"


@_finding.register
def _(check: kinds.Language, text: str) -> str:
    return f"it is not written in the language with the code {check.value}"


@_finding.register
def _(check: kinds.Format, text: str) -> str:
    if check.value == "list":
        return "it is not a list"
    return f"it has {counted(list_share(text)[0], 'line')} of a list"


@_finding.register
def _(check: kinds.Person, text: str) -> str:
    first, second = count_pronouns(text)
    if check.value == "first":
        return "it is not written in the first person"
    if check.value == "second":
        return (
            f"it has {counted(first, 'word')} in the first person"
            if first
            else "it does not address the reader as you"
        )
    return f"it has {counted(first + second, 'word')} in the first or second person"


@_finding.register
def _(check: kinds.EndsWithQuestion, text: str) -> str:
    return "it does not end with a question" if check.value else "it ends with a question"


@_finding.register
def _(check: kinds.Refusal, text: str) -> str:
    return "it is not a refusal" if check.value else "it refuses what was asked"


@_finding.register
def _(check: kinds.PythonCheck, text: str) -> str:
    return f"the check {check.value} rejects it"
