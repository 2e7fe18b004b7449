"""Overrides of a configuration: `--set a.b=value`, applied to a value tree before validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from core.errors import ConfigError, Problem
from core.text.explain import Misfit, explain
from core.text.yaml_file import parse_yaml
from publius.config.short_forms import expand_short_forms

_NOTHING = ("", "~", "null", "Null", "NULL")
"""Texts after `--set KEY=` that are not parsed as YAML: the empty text and the spellings of null."""

Config = TypeVar("Config", bound=BaseModel)


def build_config(kind: type[Config], value: dict[str, Any], overrides: Sequence[str] = ()) -> Config:
    """Return a configuration with the user's overrides. Raises ConfigError for a mistake in one."""
    full = with_overrides(kind, value, overrides)
    try:
        return kind.model_validate(full)
    except ValidationError as error:
        misfits = explain(kind, full, error)
        problems = [Problem(m.what, ".".join(map(str, m.loc)), m.accepted) for m in misfits]
        raise ConfigError.of(problems) from error


def with_overrides(kind: type[BaseModel], value: object, overrides: Sequence[str]) -> object:
    """Return the value tree with short forms expanded and overrides applied. Raises ConfigError."""
    value = given = expand_short_forms(value)
    for override in overrides:
        value = _overridden(value, override)
    if overrides:
        _blame_overrides(kind, given, value, overrides)
    return value


def _overridden(value: object, override: str) -> object:
    """Return the value tree with one `a.b=value` applied."""
    keys, separator, text = override.partition("=")
    if not separator or not keys:
        raise ConfigError(
            f"found {override!r}", where="--set", accepted="KEY=VALUE, such as critique.rounds=1"
        )
    new: object = "" if not text.strip() else None
    if text.lstrip().startswith((">=", "<=")):
        new = text.strip()  # the limit of a gate; in YAML, `>` would begin a folded text
    elif text.strip() not in _NOTHING:
        new = parse_yaml(text, Path(f"--set {keys}")).value
    return _with(value, keys.split("."), new, f"--set {keys}")


def _with(tree: object, keys: Sequence[str], new: object, where: str) -> dict[str, Any]:
    """Return a mapping with the value at a path of keys replaced. Missing mappings are created."""
    if tree is not None and not isinstance(tree, dict):
        raise ConfigError(f"cannot set {keys[0]!r} in {tree!r}, which is not a mapping", where=where)
    head, *rest = keys
    mapping = tree or {}
    return {**mapping, head: _with(mapping.get(head), rest, new, where) if rest else new}


def _blame_overrides(kind: type[BaseModel], given: object, value: object, overrides: Sequence[str]) -> None:
    """Raise ConfigError for a mistake in an overridden value, with the option as its place.

    Otherwise the error would point at a line of the file, where the value is correct.

    Args:
        kind: the model.
        given: the value tree without the overrides. A mistake around an override that is there too, such as
            a missing key, is not the override's.
        value: the value tree with the overrides.
        overrides: the overrides.
    """
    misfits = _misfits(kind, value)
    own = {(misfit.loc, misfit.what) for misfit in _misfits(kind, given)} if misfits else set()
    for override in overrides:
        keys = tuple(override.partition("=")[0].split("."))
        for misfit in misfits:
            place = tuple(map(str, misfit.loc))
            is_around = len(place) < len(keys) and place == keys[: len(place)]
            if place[: len(keys)] == keys or (is_around and (misfit.loc, misfit.what) not in own):
                raise ConfigError(misfit.what, where=f"--set {override}", accepted=misfit.accepted)


def _misfits(kind: type[BaseModel], value: object) -> list[Misfit]:
    try:
        kind.model_validate(value)
    except ValidationError as error:
        return explain(kind, value, error)
    return []
