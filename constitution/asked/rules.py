"""Find the machine checks that the sentence of a principle asks for, in whole or in part.

In doubt nothing is found: a rule with a condition (`if`, `unless`), an exception or an approximate number
(`about 80 words`) is left to the labeler. The rules are for English.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from constitution.asked.forms import form_checks, hide_quotes
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
_SEPARATORS = re.compile(r"[.!;:]+ |, and |,? and |, | - |[.;:,!]+$| — ")


class AskedChecks(NamedTuple):
    """The machine checks that a rule asks for."""

    checks: tuple[CheckLine, ...]
    """One, or several where no single kind says it, as for `60 to 90 words`."""
    whole: bool
    """True if the rule asks for nothing else, so that the checks decide all of it."""


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
    read = [_checks(part, quotes) for part in parts]
    others = [part for part, checks in zip(parts, read, strict=True) if not checks]
    if len(others) == len(parts) or any(_CONDITIONS.search(o) or _CONTEXT.match(o) for o in others):
        return None
    found = dict.fromkeys(f"{line.kind} {line.value}" for checks in read for line in checks)
    lines = {f"{line.kind} {line.value}": line for checks in read for line in checks}
    return AskedChecks(tuple(lines[key] for key in found), all(map(says_nothing, others)))


def _checks(clause: str, quotes: tuple[str, ...]) -> tuple[CheckLine, ...]:
    """Return the valid checks of one clause."""
    clause = clause.strip().rstrip(".!,;: ")
    found = quantity_checks(clause) or form_checks(clause, quotes)
    return found if all(line.is_valid for line in found) else ()
