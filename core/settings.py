"""Base class for the sections of the run file, and the settings that determine a run's identity.

Each package defines its own sections of the run file as subclasses of `Section`. A field that changes only
speed or memory is marked `OPERATIONAL`: it is not part of a run's identity and never blocks a resume.
"""

from __future__ import annotations

from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

from core.text.explain import TURNED_OFF_BY

OPERATIONAL: dict[str, JsonValue] = {"operational": True}
"""Schema metadata that marks a field as not part of a run's identity."""
ADDED: dict[str, JsonValue] = {"added": True}
"""Schema metadata of a field that older runs lack: its default is not part of the identity."""


def turned_off_by(setting: str, mark: dict[str, JsonValue] | None = None) -> dict[str, JsonValue]:
    """Return schema metadata with what to set in place of 0, such as `eval.quality: false`, beside a mark."""
    return {**(mark or {}), TURNED_OFF_BY: setting}


class Section(BaseModel):
    """Frozen settings that reject unknown keys; the string below a field is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def decisive(self) -> Self:
        """Return the section for its identity; overridden where part of a field's value is operational."""
        return self


SectionType = TypeVar("SectionType", bound=Section)


def with_defaults(section: SectionType, **values: Any) -> SectionType:
    """Return a section with other defaults: these values for the fields that were not set."""
    unset = {name: value for name, value in values.items() if name not in section.model_fields_set}
    return section.model_copy(update=unset) if unset else section


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
