"""Outcomes of rules in words that people know, for tables and the terminal."""

from __future__ import annotations

from publius.authoring.reply import PrincipleOutcome

FOLLOWED_FROM = 0.5
"""A reply does not follow a judged principle below this probability."""
_NOT_DECIDED = "not decided"
_WORDS = {"passed": "pass", "failed": "fail", "judged": "judged", "elsewhere": "not for this prompt"}


def outcome_word(found: PrincipleOutcome) -> str:
    """Return `pass`, `fail`, `judged`, `not for this prompt` or `not decided`."""
    return _NOT_DECIDED if is_undecided(found) else _WORDS[found.outcome]


def is_broken(found: PrincipleOutcome) -> bool:
    """Return True if a check fails, or the model says that the reply does not follow the rule."""
    return found.outcome == "failed" or (found.p is not None and found.p < FOLLOWED_FROM)


def is_decided(found: PrincipleOutcome) -> bool:
    """Return True if a check or the model decided about a reply."""
    return found.outcome in ("passed", "failed", "judged")


def is_undecided(found: PrincipleOutcome) -> bool:
    """Return True if neither a check nor a model decided a rule that may be for the prompt."""
    if found.outcome == "elsewhere":
        return found.finding is not None
    return found.outcome in ("unparsed", "unknown", "not_asked")


def outcome_said(found: PrincipleOutcome) -> str:
    """Return why a check failed, or how the model judged."""
    if found.outcome == "failed":
        return found.explained or ""
    if found.outcome == "unparsed":
        return "no valid answer"
    if found.p is None:
        return ""
    return f"{'follows it' if found.p >= FOLLOWED_FROM else 'does not follow it'}, p = {found.p:.2f}"
