"""Importer for lists of principles, in JSON, JSON Lines or YAML."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from constitution.importers.reading import Reading
from constitution.importers.records import ColumnKeys, take_entry
from constitution.importers.source import ForeignFile
from constitution.importers.under_keys.grouped import is_grouped, take_grouped
from core.text.explain import yaml_line

_ALONE = ("principle", *ColumnKeys.TEXTS)
_LISTS = ("principles", "constitution", "constitutions", "rules")


class JsonList:
    """A list of sentences or objects, or such lists under keys, in JSON, JSON Lines or YAML."""

    name = "json"
    summary = "a list of sentences or of objects, or lists under keys, in JSON, JSON Lines or YAML"
    takes_columns = True

    def recognises(self, file: ForeignFile) -> str | None:
        """Return the reason why a file is JSON or YAML; None if it is neither."""
        if not file.structured:
            return None
        return "it has lists of rules under keys" if has_groups(file) else "it is JSON or YAML"

    def read(self, file: ForeignFile, reading: Reading) -> None:
        """Add the entries of the list to `reading`."""
        value, loc = _inner_list(file.value, reading)
        if _is_single(value):
            value = [value]
        elif is_grouped(value):
            take_grouped(value, loc, file, reading)
            return
        if not isinstance(value, list | dict):
            accepted = "a list, or an object that contains one"
            reading.refuse(f"the file is {yaml_line(value)}", file.where(), accepted)
            return
        entries = list(value.items() if isinstance(value, dict) else enumerate(value))
        names = itertools.chain.from_iterable(entry for _, entry in entries if isinstance(entry, Mapping))
        keys = ColumnKeys(file.columns, names)
        for at, entry in entries:
            name = at if isinstance(at, str) else None
            take_entry(entry, name, file.where(*loc, at), keys, reading)


def has_groups(file: ForeignFile) -> bool:
    """Return whether a JSON or YAML file has lists of rules under keys; those of a constitution are none."""
    if isinstance(file.value, Mapping) and "extends" in file.value:
        return False
    value = _inner_value(file.value)
    return not _is_single(value) and is_grouped(value)


def _is_single(value: Any) -> bool:
    """Return whether an object is a single principle."""
    return isinstance(value, dict) and any(isinstance(value.get(key), str) for key in _ALONE)


def _key_of_list(value: Any) -> str | None:
    keys = _LISTS if isinstance(value, dict) else ()
    return next((key for key in keys if isinstance(value.get(key), list | dict)), None)


def _inner_value(value: Any) -> Any:
    key = _key_of_list(value)
    return value if key is None else value[key]


def _inner_list(value: Any, reading: Reading) -> tuple[Any, tuple[str, ...]]:
    """Return the list under a known key of an object, and that key; else the value itself."""
    key = _key_of_list(value)
    if key is None:
        return value, ()
    if value.get("name") is not None:
        reading.name = reading.text_at(value["name"], "name", reading.source)
    reading.ignore([other for other in value if other not in (key, "name")])
    return value[key], (key,)
