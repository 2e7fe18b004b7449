"""Flags of revisions, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from critique.config import Flag

_WORDS: Mapping[Flag, str] = {
    "unchanged": "has the same words",
    "empty": "has no text",
    "truncated": "is cut off",
    "prefix_leak": "announces itself",
    "critique_copied": "repeats the critique",
    "question_copied": "repeats the question",
    "talks_about_the_reply": "talks about the reply instead of answering",
    "repeats_itself": "repeats itself",
    "refused": "refuses",
    "evasive": "takes no position",
    "language_changed": "is in another language",
}


def flags_in_words(flags: Iterable[str]) -> str:
    """Return flags as a list of what the revision does, such as `is cut off, repeats itself`."""
    known = {str(name): words for name, words in _WORDS.items()}
    return ", ".join(known.get(flag, flag.replace("_", " ")) for flag in flags)
