"""Languages in words: `always in English`, `in the language of the customer`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from constitution.asked.lines import CheckLine
from constitution.asked.phrasing import HOLDING, PERSONS, denials, framed
from constitution.checks.language import SAME

LANGUAGE_CODES = {
    **{"english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "dutch": "nl"},
    **{"portuguese": "pt", "polish": "pl", "czech": "cs", "danish": "da", "swedish": "sv", "norwegian": "no"},
    **{"finnish": "fi", "greek": "el", "turkish": "tr", "russian": "ru", "ukrainian": "uk", "japanese": "ja"},
    **{"chinese": "zh", "korean": "ko", "arabic": "ar", "hebrew": "he", "hindi": "hi", "hungarian": "hu"},
    **{
        "romanian": "ro",
        "bulgarian": "bg",
        "croatian": "hr",
        "vietnamese": "vi",
        "thai": "th",
        "catalan": "ca",
    },
}
"""ISO 639-1 codes of languages by their English names."""
_NAME = rf"(?:{'|'.join(LANGUAGE_CODES)})"
_NAMES = rf"{_NAME}(?:(?:, or |, and |, | or | and ){_NAME})*"
_NAMED = rf"(?:if|when|where|be) (?:it|that|this|theirs?)(?: (?:is|be))?(?: either| one of)?:? {_NAMES}"
_ONLY_THESE = re.compile(rf"\blanguage\b.*(?:\b{_NAMED}|\({_NAMES}(?: only)?\))")

_LANGUAGE = framed(rf"(?P<language>{'|'.join(LANGUAGE_CODES)})(?: language)?")
_OF = r"(?:(?:the|their|a|an|its|our|your|each|every|any) )?"
_ASKER = rf"(?:questions?|messages?|prompts?|{PERSONS}|person who (?:asks|writes))"
_WROTE = (
    r"(?:(?:is |has |have |are )?"
    r"(?:writes?|wrote|writing|written|asks?|asked|asking|uses?|used|using|speaks?|speaking)"
    r"(?: (?:to )?us)?(?: in)?)"
)
_SAME_LANGUAGE = framed(
    rf"(?:(?:same|very|exact|own) )*language (?:of|as|that|which|in which|used (?:by|in)) {_OF}{_ASKER}"
    rf"(?:'s? (?:question|message))?(?: (?:{_WROTE}|is|was|is written|was asked))?(?: in)?"
    rf"|(?:whatever |whichever )?language (?:in which |that |which )?{_OF}(?:{_ASKER}|they) {_WROTE}"
    rf"|{_ASKER}'s? (?:own )?language"
)
_NAMED_LANGUAGES = re.compile(
    rf"(?P<language>\blanguage(?: (?:of|as|that|which|in which) [a-z' ]{{1,40}}?)?),? {_NAMED}(?=[.;!]|$)"
)
_THEIRS = framed(
    rf"(?:answers?|repl(?:y|ies) to|responds? to|writes? to) {_OF}{PERSONS} in their (?:own )?language"
)
_SPOKEN = re.compile(r"\b(?:in|speaks?|uses?|using) (?:only |always |the )*$")
_STICKING = re.compile(r"\b(?:sticks?|keeps?) to (?:only |always |the )*$")


def language_checks(clause: str, quotes: tuple[str, ...] = ()) -> Iterator[CheckLine]:
    """Yield the check of the language that the whole reply is to have.

    Args:
        clause: the rule as `phrasing.plain_rule` returns it.
        quotes: the phrases that were in quotation marks; none has a part in a language.
    """
    line = _language(clause) or _same_language(clause)
    if line is not None:
        yield line


def without_named_languages(rule: str) -> str:
    """Return a rule without the names in `the guest's language if it is English or German`.

    Args:
        rule: the rule, as `phrasing.plain_rule` returns it.
    """
    return _NAMED_LANGUAGES.sub(r"\g<language>", rule)


def names_only_some(rule: str) -> bool:
    """Return whether a rule asks for the language of the question only where it is one of those named.

    Args:
        rule: the rule, as `phrasing.plain_rule` returns it.
    """
    return _ONLY_THESE.search(rule) is not None


def _language(clause: str) -> CheckLine | None:
    found = _LANGUAGE.fullmatch(clause)
    if found is None or denials(found["before"]) or HOLDING.search(found["before"]):
        return None
    return CheckLine("language", LANGUAGE_CODES[found["language"]]) if _is_spoken(found["before"]) else None


def _same_language(clause: str) -> CheckLine | None:
    theirs = _THEIRS.fullmatch(clause)
    if theirs is not None:
        return None if denials(theirs["before"]) else CheckLine("language", SAME)
    found = _SAME_LANGUAGE.fullmatch(clause)
    if found is None or denials(found["before"]) or HOLDING.search(found["before"]):
        return None
    return CheckLine("language", SAME) if _is_spoken(found["before"]) else None


def _is_spoken(before: str) -> bool:
    """Return whether the words before a language say that the reply is in it."""
    return _SPOKEN.search(before) is not None or _STICKING.search(before) is not None
