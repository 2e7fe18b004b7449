"""Values of checks as they are meant: `80 words` is 80, `please` is a list of one phrase, `German` is de."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from constitution.asked.languages import LANGUAGE_CODES
from constitution.asked.quantities import NUMBER, spoken_number
from constitution.checks.kinds import KINDS_OF_PHRASES, PhraseListName
from constitution.checks.language import SAME

EXAMPLES: Mapping[str, Any] = {
    "max_words": 60,
    "min_words": 20,
    "max_sentences": 3,
    "min_sentences": 2,
    "max_sentence_words": 20,
    "max_characters": 280,
    "min_characters": 40,
    "max_list_items": 5,
    "max_grade": 8,
    "min_grade": 10,
    "json": {},
    "ends_with_question": True,
    "refusal": False,
    "phrase_list": get_args(PhraseListName),
}
"""Values to show where a check has none; for `phrase_list` all its names."""

_FLAGS = ("ends_with_question", "refusal")
_PERSONS = {
    "1": "first",
    "i": "first",
    "we": "first",
    "2": "second",
    "you": "second",
    "3": "third",
    "they": "third",
}
_SAME_AS = (
    "question",
    "the question",
    "prompt",
    "user",
    "message",
    "same as question",
    "same as the question",
)
"""Words for the language of the question."""
_TRUE, _FALSE = ("true", "yes", "on", "required", "must"), ("false", "no", "off", "forbidden", "never")


def as_value(kind: str, raw: object) -> Any:
    """Return a value as the kind takes it; None if it is not understood."""
    if kind in KINDS_OF_PHRASES:
        return phrases(raw)
    raw = raw[0] if isinstance(raw, list) and len(raw) == 1 else raw
    if raw is None or (raw is True and kind == "json"):
        example = EXAMPLES.get(kind)
        return example[0] if isinstance(example, tuple) else example
    if kind.startswith(("max_", "min_")):
        return _number(raw)
    if kind in _FLAGS:
        return _flag(raw)
    if kind == "json":
        return raw if isinstance(raw, Mapping) else None
    text = str(raw).strip()
    if kind == "language" and text.casefold() in _SAME_AS:
        return SAME
    if kind == "language":
        return LANGUAGE_CODES.get(text.casefold(), text.casefold().partition("-")[0].partition("_")[0])
    if kind == "person":
        word = re.sub(r"(?:(?<=\d)(?:st|nd|rd))?(?:[ _-]person)?(?: singular| plural)?$", "", text.casefold())
        return _PERSONS.get(word, word)
    if kind == "format":
        listed = re.search("list|bullet", text.casefold())
        return "list" if listed and not re.search(r"\b(?:no|not|without)\b", text.casefold()) else "prose"
    return text if isinstance(raw, str) else None


def phrases(raw: object) -> list[str] | None:
    """Return a list of phrases: of a text, those between its commas."""
    entries = raw if isinstance(raw, list) else str(raw).split(",") if isinstance(raw, str | int) else []
    found = [str(entry).strip().strip("\"'") for entry in entries if isinstance(entry, str | int | float)]
    return [phrase for phrase in found if phrase] or None


def _number(raw: object) -> int | float | None:
    if isinstance(raw, bool):
        return None
    if isinstance(raw, int | float):
        return int(raw) if float(raw).is_integer() else raw
    if isinstance(raw, Mapping) and len(raw) == 1:
        return _number(next(iter(raw.values())))
    found = re.search(NUMBER, str(raw).casefold()) if isinstance(raw, str) else None
    return spoken_number(found[0]) if found else None


def _flag(raw: object) -> bool | None:
    if isinstance(raw, bool | int):
        return bool(raw)
    word = str(raw).casefold().strip()
    return True if word in _TRUE else False if word in _FALSE else None
