"""Field types and the base that the models of a constitution share."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

SEARCHED_CHARACTERS = 20_000
"""Of a text, by a pattern: about 5,000 tokens, several times the longest answer of a usual run."""


def _compiles(pattern: str) -> str:
    """Return the pattern, or say at which character it goes wrong."""
    try:
        re.compile(pattern)
    except re.error as error:
        place = f" at character {error.pos + 1}" if error.pos is not None else ""
        message = f"the pattern {pattern!r} goes wrong{place}: {error.msg}"
    except (OverflowError, RecursionError) as error:
        message = f"the pattern {pattern!r} cannot be used: {error}"
    else:
        return pattern
    raise ValueError(f"{message}; accepted: a regular expression of Python's re module")


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""Text that says something; white space around it, such as a block's last line end, is layout."""
Pattern = Annotated[str, Field(min_length=1), AfterValidator(_compiles)]
Count = Annotated[int, Field(ge=1, strict=True)]
Phrases = Annotated[tuple[Text, ...], Field(min_length=1)]


class Part(BaseModel):
    """Base of all parts: immutable, unknown keys refused, attribute docstrings kept as descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
