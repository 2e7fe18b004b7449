"""The sides of the bounds that a text gives: `no list with more than four points` gives a maximum."""

from __future__ import annotations

import re

_LEAST = r"at least|a minimum of"
_MOST = r"at most|up to|a maximum of|within"
_OVER = r"(?:more|longer|greater|larger|bigger) than|over|above|beyond|exceed(?:s|ing)?"
_UNDER = r"(?:fewer|less|shorter|smaller) than|under|below"
_DENIES = re.compile(r"(?i)\b(?:no|not|never|none|nor|neither|without|cannot|avoid(?:s|ing)?)\b|n['’]t\b")
_SENTENCE_END = re.compile(r"[.!?;]\s")
_CLAUSE_END = re.compile(r"[,:]\s| (?:and|but|or) ")


def bound_sides(text: str, number: str) -> set[str]:
    """Return which of `min` and `max` the bounds in a text are, both for one that may be either.

    Args:
        text: text of a principle.
        number: pattern of a number.
    """
    bound = rf"(?:(?P<least>{_LEAST})|(?P<most>{_MOST})|(?P<over>{_OVER})|(?P<under>{_UNDER}))"
    sides: set[str] = set()
    for found in re.finditer(rf"(?i)\b{bound} {number}\b", text):
        if found["least"] or found["most"]:
            sides.add("min" if found["least"] else "max")
        else:
            sides |= _of_comparison(text[: found.start()], is_over=found["over"] is not None)
    return sides


def _of_comparison(before: str, *, is_over: bool) -> set[str]:
    """Return the side of `more than 4` behind a text; both if a denial may or may not reach it."""
    sentence = _SENTENCE_END.split(before)[-1]
    clause = _CLAUSE_END.split(sentence)[-1]
    if _DENIES.search(clause):
        return {"max" if is_over else "min"}
    if _DENIES.search(sentence):
        return {"min", "max"}
    return {"min" if is_over else "max"}
