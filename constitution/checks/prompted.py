"""Checks that depend on the prompt: `language: same` asks for the language of the last user message."""

from __future__ import annotations

from functools import lru_cache

from constitution.checks.kinds import Check, Language
from constitution.checks.language import SAME, SHORT_BYTES, language_of
from core.records import Prompt

UNDECIDABLE = "the question is too short to tell its language"
"""Why a check of the question's language decides nothing."""


def check_on(check: Check, question: Prompt | str) -> Check:
    """Return the check by which answers to a question are evaluated.

    Every check is its own, except `language: same`: it becomes a check for the language of the question's
    last message. If that cannot be told, the check is returned as it is, and every answer passes it;
    `is_decidable` says so before.
    """
    if not isinstance(check, Language) or check.value != SAME:
        return check
    found = _language_in(question if isinstance(question, str) else question.messages[-1].content)
    return check if found is None else Language(kind="language", value=found)


def is_decidable(check: Check | None, question: Prompt | str) -> bool:
    """Return False if a check asks for the language of a question that does not show one."""
    if not isinstance(check, Language) or check.value != SAME:
        return True
    return check_on(check, question) is not check


@lru_cache(maxsize=4096)
def _language_in(question: str) -> str | None:
    return language_of(question, SHORT_BYTES)
