"""Generated ids for principles without one, from the words of their sentences."""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Container

_ID_WORDS = 5
_ID_LENGTH = 56
"""Maximum length of a generated id before the suffix that makes it unique."""
_STOP_WORDS = frozenset(
    "a an and answer are choose in is it of or reply response should that the to which with".split(" ")  # noqa: SIM905
)


def id_from(sentence: str) -> str:
    """Return an id made of the first words of a sentence, without stop words."""
    words = _words(sentence)
    telling = [word for word in words if word not in _STOP_WORDS] or words
    return _joined(telling[:_ID_WORDS], sentence)


def id_of_name(name: str) -> str:
    """Return a name in the spelling of an id, with as many of its words as fit."""
    return _joined(_words(name), name)


def unique(name: str, taken: Container[str], tried: dict[str, int] | None = None) -> str:
    """Return the name, with a number after it if it is taken.

    Args:
        name: The preferred name.
        taken: Names in use.
        tried: The next number to try for each name, kept between calls so many equal names stay fast.
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
    # A text in a non-Latin script may have no ASCII letters left.
    return "-".join(words)[:_ID_LENGTH].rstrip("-") or "principle-" + _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
