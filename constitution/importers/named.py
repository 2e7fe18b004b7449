"""Rules that begin with a name, such as `**concrete**: names one next step`: the name and a sentence.

The name becomes the id of the principle and is not part of its text. It is a name if it has at most four
words and is set in bold, italics or as code; without such a mark, if it is one word, and all entries of the
list begin with one. `Never: lie`, `Bad: ...`, `The reply is short: ...` and `Be kind: ...` are no names. The
words are English.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from constitution.ids import id_of_name
from constitution.importers.under_keys.directives import (
    directive_of,
    ended,
    names_the_reply,
    third_person_verb,
    verb_phrase,
)

NAMED = "the name before a rule is its id"
"""The note on such a rule."""
_MOST_WORDS = 4
_SEPARATOR = re.compile(r"(?:\s*[:–—]|\s+-)\s+(?=\S)")
"""What stands between a name and its rule."""
_PLAIN = re.compile(r"([^\W\d_][\w-]*)(?:\s*[:–—]|\s+-)\s+(?=\S)")
_SAYS_MORE = {
    *("bad", "better", "example", "examples", "except", "exception", "good", "instead", "no", "not", "note"),
    *("ok", "right", "todo", "worse", "wrong", "yes"),
}
"""Words before a colon that say of a rule what its sentence alone does not."""
_SCOPE = re.compile(r"((?:for|in|on|about|with|when|if)\b[^:.]*):\s+(?=\S)", re.IGNORECASE)
"""Where a rule holds: `for gas and electricity: says to call a professional`."""


class NamedRule(NamedTuple):
    """A rule and its name."""

    name: str
    """In the spelling of an id."""
    text: str


def marked_rule(text: str, mark: str) -> NamedRule | None:
    """Return the rule of an entry that begins with a name in bold, or None if that is no name.

    Args:
        text: the visible text of the entry.
        mark: its beginning that is in bold, italics or set as code; may be empty.
    """
    name = mark.strip()
    if not name or not text.startswith(mark):
        return None
    rest = text[len(mark) :]
    if name[-1] in ":.–—":
        name, rule = name[:-1].rstrip(), rest.strip()
    else:
        separator = _SEPARATOR.match(rest) or re.match(r"\.\s+(?=\S)", rest)
        if separator is None:
            return None
        rule = rest[separator.end() :].strip()
    return NamedRule(id_of_name(name), reply_sentence(rule)) if rule and is_name(name) else None


def plain_rules(texts: Sequence[str]) -> list[NamedRule] | None:
    """Return the rules of a list whose entries all begin with a name of one word; None for any other list."""
    found = [(match, text) for text in texts if (match := _PLAIN.match(text)) and is_name(match[1])]
    names = {match[1].casefold() for match, _ in found}
    if len(texts) < 2 or len(found) < len(texts) or len(names) < len(texts):
        return None
    return [NamedRule(id_of_name(match[1]), reply_sentence(text[match.end() :])) for match, text in found]


def named_rules(texts: Sequence[str], marks: Sequence[str]) -> list[NamedRule | None]:
    """Return the rule of each entry of a list that begins with a name, None for the others.

    Args:
        texts: the visible texts of the entries.
        marks: for each, its beginning that is in bold, italics or set as code; may be empty.
    """
    marked = [marked_rule(text, mark) for text, mark in zip(texts, marks, strict=True)]
    plain = None if any(marked) else plain_rules(texts)
    return marked if plain is None else [*plain]


def reply_sentence(rule: str) -> str:
    """Return the rest of a rule as a sentence: `names a step` becomes `The reply names a step.`

    What has no verb that we know begins with a capital letter and ends with a full stop.
    """
    text = " ".join(rule.split())
    if third_person_verb(text):
        return ended(f"The reply {text}")
    scope = _SCOPE.match(text)
    if scope and third_person_verb(text[scope.end() :]):
        return ended(f"{_capital(scope[1])}, the reply {text[scope.end() :]}")
    return ended(_capital(text))


def is_name(name: str) -> bool:
    """Return whether words may be the name of a rule: few, and neither a rule nor the subject of one."""
    words = name.split()
    if not 1 <= len(words) <= _MOST_WORDS or directive_of(name) or names_the_reply(name):
        return False
    if words[-1].casefold() in _SAYS_MORE:
        return False
    is_rule = len(words) > 1 and bool(verb_phrase(name))
    return not is_rule and any(sign.isascii() and sign.isalpha() for sign in name)


def _capital(text: str) -> str:
    """Return a text that begins with a capital letter, unless its first word has one inside (`iPhone`)."""
    first = text.split(maxsplit=1)[0] if text else ""
    return text if first[1:] != first[1:].lower() else text[:1].upper() + text[1:]
