"""Names of people and of aspects: one form of each, whatever keyboard or spreadsheet wrote it."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


@lru_cache(maxsize=8192)
def folded_name(given: str) -> str:
    """Return a name NFKC-normalised, in lower case and with single spaces, by which people are told apart.

    NFKC maps full-width letters, ligatures and other forms of a letter to the letter itself, so one annotator
    with two keyboards is not counted as two.
    """
    name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", given).casefold())
    return " ".join(name.split())


def folded_aspect(given: str) -> str:
    """Return the name of an aspect in lower case, with single spaces for hyphens and underscores."""
    return " ".join(given.casefold().replace("-", " ").replace("_", " ").split())
