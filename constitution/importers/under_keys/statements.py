"""Sentences of prose that state a rule without `must`: `If a brake is broken, tell them to stop riding.`

A sentence states one if, with or without a condition before it, it says in the present tense what the reply
or a part of it does (`the first sentence tells them to stop`), or begins with a verb that asks for something
(`tell them`). Behind a condition it may also say what we, you or the assistant do. In doubt it states none:
the reader is shown what was left out. The words are English.
"""

from __future__ import annotations

import re

from constitution.importers.under_keys.directives import third_person_verb, verb_phrase

_OBLIGES = re.compile(r"\b(must|should|shall|ought to|never|always|do not|don['’]t|may not)\b", re.IGNORECASE)
_BINDS = re.compile(r"\b(must|should|shall|ought to|do not|don['’]t|may not)\b", re.IGNORECASE)
_ASKS_AT_ONCE = re.compile(r"(?:please,? |and |but )*(?:never|always)\b", re.IGNORECASE)
_CONDITION = re.compile(
    r"(?:and |but )?(?:if|when(?:ever)?|where(?:ver)?|unless|in case|as soon as|once|as long as|until|before"
    r"|after|(?:for|with|in|on|to|under) (?:any|all|every|each|questions?|complaints?|cases?|messages?"
    r"|requests?|emergenc)\w*)\b"
    r"[^;:]*?(?:,|:| - | – | — ) ?(?:(?:and|or|but) [^,;:]*, ?)*(?:then )?",
    re.IGNORECASE,
)
_REPLY = r"(?:repl(?:y|ies)|answers?|responses?)"
_PART = (
    r"(?:sentences?|paragraphs?|words?|lines?|greetings?|openings?|closings?|endings?|subject lines?|titles?"
    r"|e?-?mails?|messages?|letters?|texts?|posts?)"
)
_WHICH = r"(?:the|an?|every|each|our|your|its|any|this|that)"
_AGE = r"(?:first|last|second|opening|closing|final|whole|very first)"
_OF_REPLY = re.compile(
    rf"{_WHICH} (?:{_AGE} )?{_REPLY}|(?:{_WHICH} )?{_AGE} {_PART}(?: of {_WHICH} {_REPLY})?",
    re.IGNORECASE,
)
_OF_REPLIES = re.compile(rf"(?:(?:all|our|your|the) )?{_REPLY}\b", re.IGNORECASE)
_OF_CASE = re.compile(rf"{_WHICH} (?:{_AGE} )?{_PART}|it|this", re.IGNORECASE)
_WE = re.compile(
    r"(?:we|you|our (?:agents?|team|staff)"
    r"|(?:the|an?|our|your) (?:assistant|helper|bot|chatbot|model|agent|team))",
    re.IGNORECASE,
)
_NOT_OF_NOW = re.compile(r"(?:was|were|been|being|had|did|will|would|could|can|may|might)\b", re.IGNORECASE)
_OBJECT = re.compile(
    r"(?:the|an?|any|no|not|only|it|its|them|their|him|her|us|me|you|your|our|his|this|that|these|those|all|every|each"
    r"|what|how|why|where|who|whether|so|sorry|thanks|hello|goodbye|one|two|three|at|in|with|for|to|about|on|by|from"
    r"|as|immediately|first|briefly|politely|once)\b|[\"“'‘]",
    re.IGNORECASE,
)
_READ_CHARACTERS = 600
"""Beginning of a sentence in which its subject and verb are looked for."""
_STATE = re.compile(r"(?:is|are|has|have|does not|do not|doesn['’]t|don['’]t)\b", re.IGNORECASE)


def states_a_rule(sentence: str) -> bool:
    """Return whether a sentence of prose states a rule: it says what replies must do, or do in the present.

    Args:
        sentence: the sentence, without markup.
    """
    text = " ".join(sentence.split())
    if text.endswith(("?", ":")):
        return False
    if _OBLIGES.search(text):
        return True
    text = text[:_READ_CHARACTERS]
    condition = _CONDITION.match(text)
    while condition is not None:
        rest = text[condition.end() :]
        if asks_for(rest) or _says_what_it_does(rest, _OF_REPLY, _OF_CASE) or _says_what_we_do(rest):
            return True
        condition, text = _CONDITION.match(rest), rest
    return asks_for(text) or _says_what_it_does(text, _OF_REPLY)


def tells_of_others(sentence: str) -> bool:
    """Return whether a sentence only says what others always or never do, as `Customers always ask for it.`

    Such a sentence beside a rule says why it is there.

    Args:
        sentence: the sentence, without markup.
    """
    text = " ".join(sentence.split())
    if not _OBLIGES.search(text) or _BINDS.search(text) or _ASKS_AT_ONCE.match(text):
        return False
    condition = _CONDITION.match(text)
    rest = text[condition.end() :] if condition else text
    of_us = any(subject.match(rest) for subject in (_OF_REPLY, _OF_REPLIES, _OF_CASE, _WE))
    return not of_us and not asks_for(rest) and not _ASKS_AT_ONCE.match(rest)


def asks_for(text: str) -> bool:
    """Return whether a text begins with a verb that asks for something, as `tell them to stop`."""
    first, _, rest = text.strip().partition(" ")
    return bool(first.isalpha() and verb_phrase(text).startswith(first.casefold()) and _OBJECT.match(rest))


def _says_what_it_does(text: str, *subjects: re.Pattern[str]) -> bool:
    """Return whether a text begins with a subject and a verb in the present tense."""
    for subject in subjects:
        for end in (match.end() for match in [subject.match(text)] if match):
            verb = text[end:].lstrip()
            if end < len(text) and text[end] == " " and not _NOT_OF_NOW.match(verb):
                return third_person_verb(verb) or _STATE.match(verb) is not None
    return False


def _says_what_we_do(text: str) -> bool:
    """Return whether a text says what we, you or the assistant do, as `we apologise once`."""
    subject = _WE.match(text)
    if subject is None:
        return False
    verb = text[subject.end() :].lstrip()
    return bool(verb) and (bool(verb_phrase(verb)) or third_person_verb(verb))
