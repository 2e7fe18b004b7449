"""Ids made from sentences: how principles are called to which nobody gave a name."""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Container

_ID_WORDS = 5
_ID_LENGTH = 56
"""Leaves room within an id for the ending that makes it unique."""
_STOP_WORDS = frozenset(
    "a an and answer are choose in is it of or reply response should that the to which with".split(" ")  # noqa: SIM905
)


def id_from(sentence: str) -> str:
    """Return an id from the first words of a sentence that say something about it."""
    words = _words(sentence)
    telling = [word for word in words if word not in _STOP_WORDS] or words
    return _joined(telling[:_ID_WORDS], sentence)


def id_of_name(name: str) -> str:
    """Return a name in the spelling of an id, all its words kept as far as there is room."""
    return _joined(_words(name), name)


def unique(name: str, taken: Container[str], tried: dict[str, int] | None = None) -> str:
    """Return the name, with a number after it if it is taken.

    Args:
        name: The name wanted.
        taken: Names that others have.
        tried: Remembers between calls where to go on counting, so that many equal names take no time.
    """
    if name not in taken:
        return name
    tried = {} if tried is None else tried
    for number in itertools.count(tried.get(name, 2)):
        if f"{name}-{number}" not in taken:
            break
    tried[name] = number + 1
    return f"{name}-{number}"


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", re.sub("['’]", "", text)).encode("ascii", "ignore").decode()
    return re.findall("[a-z0-9]+", plain.lower())


def _joined(words: list[str], text: str) -> str:
    # Of a text in another script nothing may be left.
    return "-".join(words)[:_ID_LENGTH].rstrip("-") or "principle-" + _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
