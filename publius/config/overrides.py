"""Overrides of a configuration: `--set a.b=value`, applied to a value tree before validation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from constitution.loader import preset_names
from core.errors import ConfigError, Problem, shell_command
from core.store.files import is_there
from core.text.explain import Misfit, explain
from core.text.yaml_file import parse_yaml
from prompts.sources import may_be_on_hub
from publius.config.short_forms import expand_short_forms
from training.methods import RL_METHODS

_NOTHING = ("", "~", "null", "Null", "NULL")
"""Texts after `--set KEY=` that are not parsed as YAML: the empty text and the spellings of null."""

_PATHS = frozenset(
    {
        *("constitution", "prompts", "prompts.path", "templates", "label.humans", "label.correction"),
        *("eval.refusals", "eval.gold", *(f"{method}.gold" for method in RL_METHODS)),
    }
)
"""Settings with paths, which count from the run file's folder."""

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


def with_overrides(
    kind: type[BaseModel],
    value: object,
    overrides: Sequence[str],
    context: Mapping[str, object] | None = None,
) -> object:
    """Return the value tree with short forms expanded and overrides applied. Raises ConfigError.

    Args:
        kind: the model that the tree is to be validated against.
        value: the tree.
        overrides: `a.b=value` each.
        context: what the model's validators are told.
    """
    value = given = expand_short_forms(value)
    for override in overrides:
        value = _overridden(value, override)
    if overrides:
        _blame_overrides(kind, given, value, overrides, context)
    return value


def refuse_misplaced(overrides: Sequence[str], folder: Path) -> None:
    """Refuse a path that names nothing from the run file's folder, but a file from the current one.

    Args:
        overrides: `a.b=value` each, in YAML that could be read.
        folder: the folder of the run file.

    Raises:
        ConfigError: for the first such path, with the one that names the file.
    """
    for override in overrides:
        key, _, text = override.partition("=")
        given = _value_of(key, text) if key in _PATHS else None
        names = [name for name in (given if isinstance(given, list) else [given]) if isinstance(name, str)]
        for name in names:
            if _is_misplaced(name, folder, may_be_id=key.startswith("prompts")):
                meant = text.replace(name, os.path.relpath(name, folder))
                raise ConfigError(
                    f"no file {name} in {folder}: a path in a setting counts from the run file's folder",
                    where=f"--set {override}",
                    accepted=shell_command(f"{key}={meant}"),
                )


def _is_misplaced(name: str, folder: Path, *, may_be_id: bool) -> bool:
    """Return True if a path names something from the current folder alone."""
    if name in preset_names() or (may_be_id and may_be_on_hub(Path(name))):
        return False
    return not is_there(folder / name) and is_there(Path(name))


def _overridden(value: object, override: str) -> object:
    """Return the value tree with one `a.b=value` applied."""
    keys, separator, text = override.partition("=")
    if not separator or not keys:
        raise ConfigError(
            f"found {override!r}", where="--set", accepted="KEY=VALUE, such as critique.rounds=1"
        )
    return _with(value, keys.split("."), _value_of(keys, text), f"--set {keys}")


def _value_of(keys: str, text: str) -> object:
    """Return the value of `KEYS=TEXT`, which is YAML. Raises ConfigError if it is not."""
    if text.lstrip().startswith((">=", "<=")):
        return text.strip()  # the limit of a gate; in YAML, `>` would begin a folded text
    if text.strip() in _NOTHING:
        return None if text.strip() else ""
    return parse_yaml(text, Path(f"--set {keys}")).value


def _with(tree: object, keys: Sequence[str], new: object, where: str) -> dict[str, Any]:
    """Return a mapping with the value at a path of keys replaced. Missing mappings are created."""
    if tree is not None and not isinstance(tree, dict):
        raise ConfigError(f"cannot set {keys[0]!r} in {tree!r}, which is not a mapping", where=where)
    head, *rest = keys
    mapping = tree or {}
    return {**mapping, head: _with(mapping.get(head), rest, new, where) if rest else new}


def _blame_overrides(
    kind: type[BaseModel],
    given: object,
    value: object,
    overrides: Sequence[str],
    context: Mapping[str, object] | None,
) -> None:
    """Raise ConfigError for a mistake in an overridden value, with the option as its place.

    Otherwise the error would point at a line of the file, where the value is correct.

    Args:
        kind: the model.
        given: the value tree without the overrides. A mistake around an override that is there too, such as
            a missing key, is not the override's.
        value: the value tree with the overrides.
        overrides: the overrides.
        context: what the model's validators are told.
    """
    misfits = _misfits(kind, value, context)
    own = {(misfit.loc, misfit.what) for misfit in _misfits(kind, given, context)} if misfits else set()
    for override in overrides:
        keys = tuple(override.partition("=")[0].split("."))
        for misfit in misfits:
            place = tuple(map(str, misfit.loc))
            is_around = len(place) < len(keys) and place == keys[: len(place)]
            if place[: len(keys)] == keys or (is_around and (misfit.loc, misfit.what) not in own):
                raise ConfigError(misfit.what, where=f"--set {override}", accepted=misfit.accepted)


def _misfits(kind: type[BaseModel], value: object, context: Mapping[str, object] | None) -> list[Misfit]:
    try:
        kind.model_validate(value, context=context)
    except ValidationError as error:
        return explain(kind, value, error)
    return []
