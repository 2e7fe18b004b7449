"""What every section of a settings file is, and what of its values makes a run the same run.

Each room describes its own sections of the run file as models on `Section`. A field that changes speed or
memory only is marked `OPERATIONAL`: it has no part in a run's identity and never blocks a resume.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

OPERATIONAL: dict[str, JsonValue] = {"operational": True}
"""Marks a field that has no part in a run's identity."""
ADDED: dict[str, JsonValue] = {"added": True}
"""Marks a field added after runs were recorded without it: its default has no part in a run's identity."""


class Section(BaseModel):
    """Frozen settings that refuse unknown keys; the string below a field is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def identity_of(section: BaseModel) -> dict[str, Any]:
    """Return a section's values less its operational fields: what makes a run the same run."""
    kept: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        extra = field.json_schema_extra
        value, marks = getattr(section, name), extra if isinstance(extra, dict) else {}
        if marks.get("operational") or (marks.get("added") and value == field.default):
            continue
        if isinstance(value, BaseModel):
            kept[name] = identity_of(value)
        else:
            kept[name] = section.model_dump(mode="json", include={name})[name]
    return kept
