"""Parts of a reply: `the subject line`, `each paragraph`. A rule about a part is no check of the whole reply.

A clause may leave its subject to another one: `The subject line is clear and has at most 8 words`, `Title: no
emojis`, `No emojis and at most 8 words in the subject line`. Such a clause is about the part, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from constitution.asked.phrasing import names_reply, names_some_replies

_NOUN = (
    r"(?:subject lines?|subjects?|titles?|head(?:ing|er|line)s?|captions?|labels?|paragraphs?|sentences?"
    r"|lines?|clauses?|words?|items?|entr(?:y|ies)|bullets?|bullet points?|points?|steps?|sections?|parts?"
    r"|chapters?|blocks?|tables?|rows?|columns?|cells?|lists?|greetings?|salutations?|closings?|sign-?offs?|signatures?"
    r"|openings?|introductions?|intros?|beginnings?|endings?|conclusions?|summar(?:y|ies)|footers?|footnotes?"
    r"|notes?|postscripts?|ps|p\.s\.?|previews?|preheaders?|examples?|quotes?|quotations?|links?|buttons?"
    r"|body|options?|reasons?|half|halves|opener|closer|hook|teaser|abstract|tl;?dr)"
)
_DETERMINER = (
    r"(?:the|an?|each|every|all|any|our|your|its|no|in|both|first|second|third|last|final|opening|closing|next|top"
    r"|bottom|one|two|three|introductory|main|whole|entire|single|individual|short|long|bullet(?:ed)?|numbered|list"
    r"|e-?mail|(?:letter|mail|e-?mail|message|reply|answer|post|text|response)'s)"
)
_PART = rf"(?:{_DETERMINER} )*{_NOUN}\b(?!')"
_PLACE = r"(?:in|of|for|per|within|on|inside|under|throughout|by|as)"
_TRAILING = re.compile(rf" {_PLACE} (?:[a-z0-9'-]+ ){{0,3}}{_NOUN}\b.*$")
_SUBJECT = re.compile(rf"{_PART}|(?:the )?(?:text|content|wording) of {_DETERMINER} (?:\w+ )?{_NOUN}\b")
_KEPT = re.compile(rf"\b(?:keep|make|leave|limit|restrict)s? {_PART}")
_DETAILED = re.compile(rf"\b{_NOUN} (?:that|which|whose|with)\b")
_NAMED = re.compile(rf"\b{_DETERMINER} {_NOUN}\b")
_LIST = re.compile(
    r"(?:(?:the|an?|each|every|all|any|our|your|no) )*(?:bullet(?:ed)? |numbered )?lists?\b(?!')"
)
_OTHER = re.compile(
    r"(?:the|an?|each|every|all|any|our|your|its) \w"
    r"|(?:(?!(?:it|they|this|these)\b)\w+ )?\w+s (?:are|have|contain)\b"
)
"""Beginning of a clause with a subject of its own."""
_PRONOUN = re.compile(r"\b(?:keep|limit|make|restrict|cap)s? (?:it|them|this|these|that) ")
_OBJECT = re.compile(r"\b(?:the|an?|one|each|every|your|two|three) \w")
_LEANING = re.compile(r"(?:it|its|they|these|this|that|those|has|have|is|are|contains?|must|should|may)\b")


class Clause(NamedTuple):
    """One clause of a rule."""

    text: str
    begins: bool
    """True if it begins a sentence."""
    explains: bool
    """True if it is behind a colon or a dash."""
    is_read: bool
    """True if it asks for a check by itself."""


def about_parts(clauses: Sequence[Clause], asks: Callable[[str], bool]) -> list[bool]:
    """Return for each clause whether its subject may be a part of the reply that another one names.

    Args:
        clauses: the clauses of a rule in their order.
        asks: returns whether a text asks for a check.
    """
    forward = _with_subject_before(clauses)
    backward = _with_place_behind(clauses, asks)
    return [one or other for one, other in zip(forward, backward, strict=True)]


def _with_subject_before(clauses: Sequence[Clause]) -> list[bool]:
    """Return which clauses may have the subject of one before: `The title is short and has no emojis`."""
    found: list[bool] = []
    is_part = named = is_of_other = has_object = False
    for clause in clauses:
        of_lists = _LIST.match(clause.text) is not None
        of_another = clause.begins and not _LEANING.match(clause.text)
        if names_reply(clause.text) or of_lists or of_another:
            is_part = is_of_other = False
        leans = _LEANING.match(clause.text) is not None and is_of_other
        points = (has_object or is_of_other) and _PRONOUN.search(clause.text) is not None
        found.append(is_part or leans or points or (clause.explains and named))
        is_part = found[-1] or of_lists or (not clause.is_read and _has_part(clause.text))
        named = not clause.is_read and _NAMED.search(clause.text) is not None
        of_reply = names_reply(clause.text)
        if not clause.is_read:
            is_of_other = not of_reply and (is_of_other or _OTHER.match(clause.text) is not None)
        has_object = _OBJECT.search(clause.text, 1) is not None  # not the determiner of the subject
    return found


def _has_part(text: str) -> bool:
    """Return whether a part of the reply is what a clause is about."""
    return bool(
        _SUBJECT.match(text) or _KEPT.search(text) or _DETAILED.search(text) or names_some_replies(text)
    )


def _with_place_behind(clauses: Sequence[Clause], asks: Callable[[str], bool]) -> list[bool]:
    """Return which clauses may share a place behind: `No emojis and at most 8 words in the title`."""
    found: list[bool] = []
    is_part = False
    for clause in reversed(clauses):
        found.append(is_part and not names_reply(clause.text))
        rest = None if clause.is_read else _TRAILING.sub("", clause.text)
        if rest is not None and rest != clause.text and (asks(rest) or asks(f"no {rest}")):
            is_part = True
        if clause.begins:
            is_part = False
    return found[::-1]
