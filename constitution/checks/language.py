"""Language identification by py3langid (Lui and Baldwin 2012, naive Bayes over byte n-grams)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from constitution.checks.prose import without_code
from core.text.explain import one_of, yaml_line

_CODES = (
    "af am an ar as az ba be bg bn br bs ca cs cy da de dz el en eo es et eu fa fi fo fr fy ga gd gl "
    "gu ha he hi hr ht hu hy id ig is it ja jv ka kk km kn ko ku ky la lb lg ln lo lt lv mg mk ml mn "
    "mr ms mt my ne nl nn no oc om or pa pl ps pt qu ro ru rw sa se si sk sl sn so sq sr st sv sw ta "
    "te tg th tk tl tr tt ug uk ur uz vi vo wa xh yo zh zu"
)
LANGUAGES = tuple(_CODES.split())
"""The ISO 639-1 codes that py3langid distinguishes. It knows 34 other languages, which have longer codes.
They are excluded because some are so close to a major language that they would claim its short texts."""
SAME = "same"
"""The value of a check for the language of the last user message, whichever that is."""
TWINS = (frozenset({"bs", "hr", "sr"}), frozenset({"id", "ms"}), frozenset({"nn", "no"}))
"""Groups of languages that hardly differ in writing and count as one."""
SHORT_BYTES = 24
"""Minimum bytes of letters to identify a language; a letter has one to three bytes."""
LIKELY = 0.9
"""Minimum probability of a language that is reported."""
_READ_CHARACTERS = 2_000
"""Characters of a text that its language is read from."""
_ADDRESS = re.compile(r"\S+://\S+|`[^`\n]*`")


def _known(code: str) -> str:
    if code not in (SAME, *LANGUAGES):
        accepted = f"{SAME}, the language of the question, or {one_of(LANGUAGES, code)}"
        raise ValueError(f"unknown language {yaml_line(code)}; accepted: {accepted}")
    return code


LanguageCode = Annotated[str, AfterValidator(_known), WithJsonSchema({"enum": [SAME, *LANGUAGES]})]


def language_probability(text: str, code: str) -> tuple[bool, float]:
    """Return whether a text is in a language, and the probability of that language.

    A text with fewer than `SHORT_BYTES` bytes of letters, not counting fenced code and web addresses, counts
    as being in any language. Languages that hardly differ in writing count as one (`TWINS`).
    """
    prose = _ADDRESS.sub(" ", without_code(text))
    if sum(len(letter.encode(errors="replace")) for letter in prose if letter.isalpha()) < SHORT_BYTES:
        return True, 1.0
    alike = next((twins for twins in TWINS if code in twins), frozenset({code}))
    ranked = _identifier().rank(prose)
    return ranked[0][0] in alike, sum(p for name, p in ranked if name in alike)


def language_of(text: str, at_least: int = 2 * SHORT_BYTES) -> str | None:
    """Return the language of a text, the first of its twins; None if no language is likely.

    A probability of 0.9 is required.

    Args:
        text: the text.
        at_least: minimum bytes of letters in it.
    """
    prose = _ADDRESS.sub(" ", without_code(text[:_READ_CHARACTERS]))
    if sum(len(letter.encode(errors="replace")) for letter in prose if letter.isalpha()) < at_least:
        return None
    name, probability = _identifier().classify(prose)
    return same_language(name) if probability >= LIKELY else None


def same_language(code: str) -> str:
    """Return the first of the languages that hardly differ in writing from one, or the language itself."""
    return min(next((twins for twins in TWINS if code in twins), {code}))


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LANGUAGES)
    return identifier
