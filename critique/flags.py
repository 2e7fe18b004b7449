"""Rule-based flags for bad revisions: unchanged, empty, truncated, or with a leaked preamble."""

from __future__ import annotations

import re

from core.records import Generation
from critique.config import Flag

_REWORKED = "(?:revised|rewritten|reworked|reworded|rephrased|improved|corrected|edited|updated)"
_NEWER = f"(?:{_REWORKED}|new|better|(?:more|less) [a-z]+|(?:short|kind|clear|simpl|gentl|saf|friendl)i?er)"
_REPLY = "(?:reply|response|answer)"
_TEXT = f"(?:{_REPLY}|version|revision|draft|message|text)"
# "A version of the recipe" is what the user may have asked for; "a version of my answer" is a leak.
_NOT_OF_ANOTHER_TEXT = rf"(?! (?:of|for) (?:your|(?:the|this) (?!(?:[a-z]+ )?{_REPLY}\b)))"
_LEAD = r"(?:[^\n]{0,120}?[.!,:—–-]\s+)?"
_END = r"[^\n:.]{0,100}(?::|\.?[*_]*\s*?(?:\n|\Z))"

_LEAKS = (
    # "Revised reply:", "**My new answer (shorter):**", "Rewritten:"
    rf"(?:(?:sure|certainly|of course|okay)\W+)?(?:(?:my|the|a) )?"
    rf"(?:{_REWORKED}(?: {_TEXT})?|(?:new|better) {_REPLY}|revision|rewrite)"
    rf"(?: (?:of|to) (?:my|the) {_REPLY})?(?: (?:is|would be)(?: as follows)?)?(?: \([^)\n]*\))?[*_]*:",
    # "Sure! Here's a revised and shorter version of my reply:", "Below is the improved answer."
    rf"{_LEAD}(?:here(?:['’]s| is)|this is|below is|the following is) (?!your)(?:[a-z]+ ){{0,2}}?"
    rf"(?:attempt at an? )?{_NEWER}(?:,? (?:and )?(?:more )?[a-z]+)? {_TEXT}\b{_NOT_OF_ANOTHER_TEXT}{_END}",
    # "Here is my reply, rewritten to be kinder:"
    rf"{_LEAD}here(?:['’]s| is) (?:the|my|that) {_REPLY},? (?:again,? )?{_REWORKED}\b{_END}",
    # "I have rewritten my reply so that it is honest:", "Let me rephrase that."
    rf"{_LEAD}(?:i(?:['’]ve| have)|let me) (?:{_REWORKED}|revise|rewrite|reword|rephrase|correct) "
    rf"(?:that\b|(?:the|my|this) (?:[a-z]+ )?{_REPLY}\b){_END}",
)
_LEAK = re.compile(rf"[\W_]{{0,20}}(?:{'|'.join(_LEAKS)})", re.IGNORECASE)


def flags_of(revision: Generation, before: Generation) -> tuple[Flag, ...]:
    """Return the flags of a revision of the answer `before`, in a fixed order."""
    found: list[Flag] = []
    if not revision.text:
        found.append("empty")
    elif revision.text.split() == before.text.split():
        found.append("unchanged")
    # If the user asked for a corrected text, the earlier answer begins the same way and nothing leaked.
    if _LEAK.match(revision.text) and not _LEAK.match(before.text):
        found.append("prefix_leak")
    if revision.finish_reason == "length":
        found.append("truncated")
    return tuple(found)
