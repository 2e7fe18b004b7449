"""Field types and the base that the models of a constitution share."""

from __future__ import annotations

import functools
import re
import warnings
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from core.settings import Section
from core.text.explain import yaml_line

PATTERN_LENGTH = 10_000

SEARCHED_CHARACTERS = 20_000
"""Of a text, by a pattern: about 5,000 tokens, several times the longest answer of a usual run."""


@functools.lru_cache(maxsize=4096)  # a file that is extended is checked once more with each that extends it
def compiles(pattern: str) -> str:
    """Return the pattern.

    Raises:
        ValueError: It is too long or wrong; the message says at which character.
    """
    if len(pattern) > PATTERN_LENGTH:
        raise ValueError(f"the pattern is too long; accepted: at most {PATTERN_LENGTH:,} characters")
    try:
        with warnings.catch_warnings():
            # A set such as [[a] is to mean something else in a later Python.
            warnings.simplefilter("error", FutureWarning)
            re.compile(pattern)
    except FutureWarning as error:
        message = f"the pattern {yaml_line(pattern)} goes wrong: {error}"
    except re.error as error:
        place = f" at character {error.pos + 1}" if error.pos is not None else ""
        message = f"the pattern {yaml_line(pattern)} goes wrong{place}: {error.msg}"
    except (OverflowError, RecursionError) as error:
        message = f"the pattern {yaml_line(pattern)} cannot be used: {error}"
    else:
        return pattern
    raise ValueError(f"{message}; accepted: a regular expression of Python's re module")


_NOT_EMPTY = {"type": "string", "minLength": 1, "pattern": r"\S"}
_EXPRESSION = {"type": "string", "minLength": 1, "maxLength": PATTERN_LENGTH}

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), WithJsonSchema(_NOT_EMPTY)]
"""Text that says something; white space around it, such as a block's last line end, is layout."""
Pattern = Annotated[str, Field(min_length=1), AfterValidator(compiles), WithJsonSchema(_EXPRESSION)]
Count = Annotated[int, Field(ge=1, strict=True)]
Phrases = Annotated[tuple[Text, ...], Field(min_length=1)]


class Part(Section):
    """Base of all parts of a constitution; the documentation of fields becomes the JSON Schema's."""
