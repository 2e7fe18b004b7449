"""Every setting of the run file with its default, the accepted values and its meaning.

All of it comes from the models that validate the file: the help of commands, the reference page and the
JSON Schema cannot differ from what is accepted.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from publius.config.run_file import RunConfig

REQUIRED = "required"
_ENTRIES = {"gates": "gates.METRIC", "label.rules": "label.rules[N]"}
"""Settings that hold a mapping or list of sections, with the name of an entry."""
_SAME = {
    "models.critic": "models.policy",
    "models.labeler": "models.policy",
    "models.judge": "models.policy",
    "models.policy.engine": "engine",
}
"""Sections with the same settings as another one, which are listed there alone."""
_KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    Path: "a path",
    type(None): "null",
}
_SIGNS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


@dataclass(frozen=True)
class RunSetting:
    """One setting of the run file."""

    key: str
    """Its path, such as `critique.rounds`."""
    default: str
    """As in YAML, or `required`."""
    choices: tuple[str, ...]
    """The accepted words if there are no other values; empty otherwise."""
    accepted: str
    """The accepted values in words."""
    meaning: str


def section_settings(name: str) -> Iterator[RunSetting]:
    """Yield the settings of a top-level key of the run file, or the key itself if it is no section."""
    yield from _settings(name, RunConfig, RunConfig.model_fields[name], name)


def all_sections() -> dict[str, list[RunSetting]]:
    """Return all settings by top-level key, in the order of `resolved.yaml`."""
    return {name: list(section_settings(name)) for name in RunConfig.model_fields}


def section_meaning(name: str) -> str:
    """Return the meaning of a top-level key, with that of its section if it says more."""
    field = RunConfig.model_fields[name]
    meaning, sections = _meaning(RunConfig, name, field), _sections_in(field.annotation)
    further = " ".join((sections[0].__doc__ or "").split()) if sections else ""
    start = meaning.rstrip(".")
    if further.startswith(start[:15]):  # both say the same, one of them at more length
        return max(further, meaning, key=len)
    return f"{meaning} {further}".strip()


def _settings(key: str, model: type[BaseModel], field: FieldInfo, name: str) -> Iterator[RunSetting]:
    inner = _sections_in(field.annotation)
    if len(inner) == 1 and field.annotation is inner[0]:
        yield from _fields(key, inner[0])
        return
    yield RunSetting(
        key,
        _default(field),
        tuple(str(choice) for choice in _choices(field.annotation)),
        _accepted(field.annotation, field.metadata, key),
        _meaning(model, name, field),
    )
    if inner and key not in _SAME:
        yield from _fields(_ENTRIES.get(key, key), inner[0])


def _fields(key: str, section: type[BaseModel]) -> Iterator[RunSetting]:
    for name, field in section.model_fields.items():
        yield from _settings(f"{key}.{field.alias or name}", section, field, name)


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models in an annotation, those in unions and collections too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _sections_in(part)]


def _meaning(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    """Return the string below a field, or below the field of the base class that it redefines."""
    if field.description:
        return " ".join(field.description.split())
    bases = (base for base in model.__mro__[1:] if issubclass(base, BaseModel))
    found = (base.model_fields[name].description for base in bases if name in base.model_fields)
    return " ".join(next((text for text in found if text), "").split())


def _default(field: FieldInfo) -> str:
    """Return a default as it is written after `KEY=` in `--set`."""
    return REQUIRED if field.is_required() else default_text(field.default)


def default_text(value: Any) -> str:
    """Return a value as it is written after `KEY=` in `--set`."""
    if isinstance(value, str):
        return value
    if isinstance(value, BaseModel):
        return json.dumps(value.model_dump(mode="json", exclude_defaults=True))
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _choices(annotation: Any) -> tuple[Any, ...]:
    """Return the accepted words of a setting, or of the entries of a list; empty if others are accepted."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return _choices(get_args(annotation)[0]) if get_origin(annotation) is tuple else ()


def _accepted(annotation: Any, metadata: Sequence[Any] = (), key: str = "") -> str:
    """Describe the accepted values of a setting."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        found = [limit for part in parts[1:] for limit in getattr(part, "metadata", [part])]
        return _accepted(parts[0], found)
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(_accepted(part, metadata, key) for part in parts)
    if origin is tuple:
        return f"a list: {_accepted(parts[0])}"
    if origin is dict:
        return f"a mapping to {_accepted(parts[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        same = _SAME.get(key)
        return f"the settings of `{same}`" if same else "a mapping with the keys below"
    bounds = " and ".join(_bounds(metadata)) if annotation in (int, float) else ""
    return " of ".join(filter(None, (_KINDS.get(annotation, "any value"), bounds)))


def _bounds(metadata: Sequence[Any]) -> Iterator[str]:
    for limit in metadata:
        for name, words in _SIGNS.items():
            value = getattr(limit, name, None)
            if value is not None:
                yield f"{words} {value:g}"
