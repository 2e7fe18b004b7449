"""What can be noticed about a revision without a model."""

from __future__ import annotations

import re

from core.records import Generation
from critique.config import Flag

_LEAK = re.compile(
    r"^\W*(?:sure|certainly|of course|okay)?\W*"
    r"(?:here(?:'s|’s| is| are)|this is|below is)?\W*(?:the|my|a|an|your)?\W*"
    r"(?:new|revised|rewritten|updated|improved|corrected|better|edited)\s+"
    r"(?:reply|response|version|answer|message|text)\b[^\n]{0,80}?:",
    re.IGNORECASE,
)


def flags_of(revision: Generation, before: Generation) -> tuple[Flag, ...]:
    """Return what is noticed about a revision of the answer before it, in fixed order."""
    found: list[Flag] = []
    if not revision.text:
        found.append("empty")
    elif revision.text.split() == before.text.split():
        found.append("unchanged")
    if _LEAK.match(revision.text):
        found.append("prefix_leak")
    if revision.finish_reason == "length":
        found.append("truncated")
    return tuple(found)
