"""Find the machine checks that the sentence of a principle asks for, in whole or in part.

In doubt nothing is found: a rule with a condition (`if`, `unless`), an exception or an approximate number
(`about 80 words`) is left to the labeler. The rules are for English.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from constitution.asked.forms import QUOTE, form_checks, hide_quotes, shown_quotes
from constitution.asked.lines import CheckLine
from constitution.asked.phrasing import plain_rule, says_nothing
from constitution.asked.quantities import quantity_checks

MAX_RULE_CHARACTERS = 300
"""Longer rules are not read: they say more than a form."""

_CONDITIONS = re.compile(
    r"\b(?:if|when(?:ever)?|unless|until|where|while|except|in case|after|before|otherwise|instead|although|"
    r"though|but|however|usually|normally|ideally|mostly|often|rarely|sometimes|prefer(?:s|ably)?|"
    r"possible|about|around|roughly|approximately|almost|depending|or)\b"
)
_CONTEXT = re.compile(r"(?:for|on|in|with|at|as|by|during|to|from|under|of)\b")
_REASON = re.compile(r",? (?:because|so that|since)\b.*$")
_ASIDE = re.compile(r" ?\([^()]*\)")
_BUT = re.compile(r"^\s*(?:but|yet|and) ")
_SEPARATORS = re.compile(r"[.!;:]+ |, and |,? and |, | - |[.;:,!]+$| — ")


class AskedChecks(NamedTuple):
    """The machine checks that a rule asks for."""

    checks: tuple[CheckLine, ...]
    """One, or several where no single kind says it, as for `60 to 90 words`."""
    whole: bool
    """True if the rule asks for nothing else, so that the checks decide all of it."""
    left: tuple[str, ...] = ()
    """What else it asks for, in lower case."""


def asked_checks(text: str) -> AskedChecks | None:
    """Return the machine checks that a rule asks for; None if there is none, or it is not understood."""
    if len(text) > MAX_RULE_CHARACTERS:
        return None
    hidden, quotes = hide_quotes(text)
    clause = _REASON.sub("", _ASIDE.sub("", plain_rule(hidden)))
    whole = _checks(clause, quotes)
    if whole:
        return AskedChecks(whole, True)
    parts = [part for part in _SEPARATORS.split(clause) if part.strip()]
    told = _quotes_of(parts, quotes)
    read = [_checks(_BUT.sub("", part), its) for part, its in zip(parts, told, strict=True)]
    others = [part for part, checks in zip(parts, read, strict=True) if not checks]
    if len(others) == len(parts) or any(_CONDITIONS.search(o) or _CONTEXT.match(o) for o in others):
        return None
    found = dict.fromkeys(f"{line.kind} {line.value}" for checks in read for line in checks)
    lines = {f"{line.kind} {line.value}": line for checks in read for line in checks}
    left = [
        shown_quotes(part.strip(), its)
        for part, its, checks in zip(parts, told, read, strict=True)
        if not checks and not says_nothing(part)
    ]
    return AskedChecks(tuple(lines[key] for key in found), not left, tuple(left))


def _quotes_of(parts: Sequence[str], quotes: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the phrases in quotation marks of each part, in which they are hidden."""
    waiting = iter(quotes)
    return [tuple(islice(waiting, part.count(QUOTE))) for part in parts]


def _checks(clause: str, quotes: tuple[str, ...]) -> tuple[CheckLine, ...]:
    """Return the valid checks of one clause."""
    clause = clause.strip().rstrip(".!,;: ")
    found = quantity_checks(clause) or form_checks(clause, quotes)
    return found if all(line.is_valid for line in found) else ()
