"""Shared field types and base class of the constitution models."""

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
"""Length of the beginning of a text that patterns search: about 5,000 tokens, several times the longest
answer of a usual run."""


@functools.lru_cache(maxsize=4096)  # a base file is validated again with every file that extends it
def compiles(pattern: str) -> str:
    """Return the pattern if it is a valid regular expression.

    Raises:
        ValueError: The pattern is too long or invalid. The message names the offending character.
    """
    if len(pattern) > PATTERN_LENGTH:
        raise ValueError(f"the pattern is too long; accepted: at most {PATTERN_LENGTH:,} characters")
    try:
        with warnings.catch_warnings():
            # Python warns about sets such as [[a], whose meaning will change in a later version.
            warnings.simplefilter("error", FutureWarning)
            re.compile(pattern)
    except FutureWarning as error:
        message = f"the pattern {yaml_line(pattern)} is invalid: {error}"
    except re.error as error:
        place = f" at character {error.pos + 1}" if error.pos is not None else ""
        message = f"the pattern {yaml_line(pattern)} is invalid{place}: {error.msg}"
    except (OverflowError, RecursionError) as error:
        message = f"the pattern {yaml_line(pattern)} cannot be used: {error}"
    else:
        return pattern
    raise ValueError(f"{message}; accepted: a regular expression of Python's re module")


_NOT_EMPTY = {"type": "string", "minLength": 1, "pattern": r"\S"}
_EXPRESSION = {"type": "string", "minLength": 1, "maxLength": PATTERN_LENGTH}

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), WithJsonSchema(_NOT_EMPTY)]
"""Non-empty text. Surrounding white space, such as the last line break of a YAML block, is stripped."""
Pattern = Annotated[str, Field(min_length=1), AfterValidator(compiles), WithJsonSchema(_EXPRESSION)]
Count = Annotated[int, Field(ge=1, strict=True)]
Phrases = Annotated[tuple[Text, ...], Field(min_length=1)]


class Part(Section):
    """Base class of all parts of a constitution. Field docstrings become descriptions in the JSON Schema."""
