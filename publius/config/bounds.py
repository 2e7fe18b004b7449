"""Bounds that every number and text of a run file has, beside those of its own field.

A value outside of them would fail only when it is used, in the middle of a run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.text.explain import Loc, Misfit, yaml_line

_MAX_COUNT = 2**32 - 1
"""Largest number in a setting: the largest seed of NumPy's generator, which transformers seeds."""
_MAX_CHARACTERS = 4096
"""Longest text, that of a path in Linux."""


def unusable(value: Any, place: Loc = ()) -> Iterator[Misfit]:
    """Yield the numbers and texts in a section or value that are too large or not finite.

    Args:
        value: a section of the run file, or what it holds.
        place: the keys that lead to it.
    """
    accepted = _accepted_instead(value)
    if accepted:
        yield Misfit(place, f"{place[-1]} is {yaml_line(value)}", accepted)
    inner: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    elif isinstance(value, BaseModel):
        inner = value
    for key, found in inner:
        yield from unusable(found, (*place, key))


def _accepted_instead(value: Any) -> str | None:
    """Return what is accepted instead of a number or text; None if it can be used, or is neither."""
    if isinstance(value, str | Path) and len(str(value)) > _MAX_CHARACTERS:
        return f"text of at most {_MAX_CHARACTERS:,} characters"
    if isinstance(value, int) and abs(value) > _MAX_COUNT:
        return f"a whole number of at most {_MAX_COUNT:,}"
    return "a finite number" if isinstance(value, float) and not math.isfinite(value) else None
