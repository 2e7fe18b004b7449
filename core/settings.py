"""Base class for the sections of the run file, and the settings that determine a run's identity.

Each package defines its own sections of the run file as subclasses of `Section`. A field that changes only
speed or memory is marked `OPERATIONAL`: it is not part of a run's identity and never blocks a resume.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, model_validator

from core.text.explain import Loc, Misfit, MisfitError, yaml_line

OPERATIONAL: dict[str, JsonValue] = {"operational": True}
"""Schema metadata that marks a field as not part of a run's identity."""
ADDED: dict[str, JsonValue] = {"added": True}
"""Schema metadata of a field that older runs lack: its default is not part of the identity."""
_MAX_COUNT = 2**32 - 1
"""Largest number in a setting: the largest seed of NumPy's generator, which transformers seeds. Far larger
numbers overflow only when they are used."""
_MAX_CHARACTERS = 4096
"""Longest text, that of a path in Linux."""


class Section(BaseModel):
    """Frozen settings that reject unknown keys; the string below a field is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        """Refuse values within the bounds of a field that would fail only later, in the middle of a run."""
        found = [
            misfit for name in type(self).model_fields for misfit in _unusable(getattr(self, name), (name,))
        ]
        if found:
            raise MisfitError(found)
        return self

    def decisive(self) -> Self:
        """Return the section for its identity; overridden where part of a field's value is operational."""
        return self


SectionType = TypeVar("SectionType", bound=Section)


def with_defaults(section: SectionType, **values: Any) -> SectionType:
    """Return a section with other defaults: these values for the fields that were not set."""
    unset = {name: value for name, value in values.items() if name not in section.model_fields_set}
    return section.model_copy(update=unset) if unset else section


def _unusable(value: Any, place: Loc) -> Iterator[Misfit]:
    """Yield the numbers and texts in a value that are too large or not finite; sections check themselves."""
    accepted = _accepted_instead(value)
    if accepted:
        yield Misfit(place, f"{place[-1]} is {yaml_line(value)}", accepted)
    inner: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    elif isinstance(value, BaseModel) and not isinstance(value, Section):
        inner = value
    for key, found in inner:
        yield from _unusable(found, (*place, key))


def _accepted_instead(value: Any) -> str | None:
    """Return what is accepted instead of a number or text; None if it can be used, or is neither."""
    if isinstance(value, str | Path) and len(str(value)) > _MAX_CHARACTERS:
        return f"text of at most {_MAX_CHARACTERS:,} characters"
    if isinstance(value, int) and abs(value) > _MAX_COUNT:
        return f"a whole number of at most {_MAX_COUNT:,}"
    return "a finite number" if isinstance(value, float) and not math.isfinite(value) else None


def identity_of(section: BaseModel) -> dict[str, Any]:
    """Return a section's values without its operational fields: its part of a run's identity."""
    kept: dict[str, Any] = {}
    section = section.decisive() if isinstance(section, Section) else section
    for name, field in type(section).model_fields.items():
        extra = field.json_schema_extra
        value, marks = getattr(section, name), extra if isinstance(extra, dict) else {}
        if marks.get("operational") or (marks.get("added") and value == field.default):
            continue
        if isinstance(value, BaseModel):
            inner = identity_of(value)
            # A new section with nothing but operational values is the same as its absence in older runs.
            if inner or not marks.get("added"):
                kept[name] = inner
        else:
            kept[name] = section.model_dump(mode="json", include={name})[name]
    return kept
