"""A short text that a regular expression matches, as a beginning that a model can continue."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

_ANY = "\0"
"""A place where the pattern takes almost any character."""
_GAP = "\1"
"""A place where the pattern takes text of any length."""
_OF_CATEGORY = {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " "}


def example_of(pattern: str) -> str | None:
    """Return a short text that the pattern matches within an answer, or None if none is found.

    Parts at both ends that take any text are omitted, as the answer around the example fills them. A pattern
    that the text does not fulfil, for example because of a look-ahead, gives None or a text that has to be
    tried: callers evaluate the check.
    """
    text = "".join(parts_of(pattern))
    return text if text.strip() or "\n" in text else None


@lru_cache(maxsize=256)
def parts_of(pattern: str) -> tuple[str, ...]:
    """Return the short texts that the pattern wants one after the other, with any text between them."""
    parser: Any = re._parser  # type: ignore[attr-defined]  # the module `re` has no public parser
    text = _text_of(parser.parse(pattern)).strip(_ANY + _GAP)
    return tuple(part.replace(_ANY, "a") for part in re.split(f"{_ANY}*{_GAP}", text))


def _text_of(parts: Iterable[tuple[Any, Any]]) -> str:
    return "".join(_part(str(kind), value) for kind, value in parts)


def _part(kind: str, value: Any) -> str:
    """Return the shortest text of one part of a parsed pattern."""
    match kind:
        case "LITERAL":
            return chr(value)
        case "ANY" | "NOT_LITERAL":
            return _ANY
        case "IN":
            return _of_set(value)
        case "BRANCH":
            return _text_of(value[1][0])
        case "SUBPATTERN":
            return _text_of(value[-1])
        case "ATOMIC_GROUP":
            return _text_of(value)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            fewest, most, repeated = value
            text = _text_of(repeated)
            more = _GAP if text == _ANY and int(most) > 1_000 else ""
            return text * min(int(fewest), 100) + more
    return ""  # anchors, look-around and references to groups add no text of their own


def _of_set(members: Iterable[tuple[Any, Any]]) -> str:
    """Return a character of a set such as `[a-z]`; a set that excludes characters takes almost any."""
    members = list(members)
    if any("NOT" in str(value) for kind, value in members if str(kind) == "CATEGORY"):
        return _ANY  # also a set such as `[\\s\\S]`
    kind, value = members[0]
    match str(kind):
        case "LITERAL":
            return chr(value)
        case "RANGE":
            return chr(value[0])
        case "CATEGORY":
            return _OF_CATEGORY.get(str(value), _ANY)
    return _ANY
