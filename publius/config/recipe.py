"""Recipes: named sets of defaults of the run file, below the user's own values.

`recipe: compliance` in a run file takes every value that the file does not set itself from
`recipes/compliance.yaml`. `resolved.yaml` of the run shows the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

_SUFFIX = ".yaml"
_SPELLINGS = {"source": "from"}
"""Names of a field that a run file may use instead of its alias."""


@cache
def recipe_names() -> tuple[str, ...]:
    """Return the names of all recipes, sorted."""
    folder = files("publius.config") / "recipes"
    return tuple(sorted(f.name.removesuffix(_SUFFIX) for f in folder.iterdir() if f.name.endswith(_SUFFIX)))


@cache
def _text_of(name: str) -> str:
    return (files("publius.config") / "recipes" / f"{name}{_SUFFIX}").read_text(encoding="utf-8")


def recipe_values(name: str) -> dict[str, Any]:
    """Return the values of a recipe, as its file has them."""
    values: dict[str, Any] = yaml.safe_load(_text_of(name))
    return values


def with_recipe(value: object) -> object:
    """Return a run file's value with the defaults of its recipe filled in.

    An unknown name, or a value that is not a mapping, is left for the validation to report.
    """
    if not isinstance(value, dict) or value.get("recipe") not in recipe_names():
        return value
    return below(recipe_values(value["recipe"]), value)


def below(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the user's own values over defaults, section by section; a list replaces a list."""
    merged = dict(defaults)
    for key, given in own.items():
        alias = _SPELLINGS.get(key, key)
        default = merged.get(alias)
        if alias != key:
            merged.pop(alias, None)
        if isinstance(default, Mapping) and isinstance(given, Mapping):
            given = below(default, given)
        merged[key] = given
    return merged
