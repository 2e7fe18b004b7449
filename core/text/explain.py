"""Readable messages for pydantic's validation errors in a user's file.

pydantic reports where in the *model* a value is invalid. A user needs the place in the *file*, the value
there, and the accepted values. A `Misfit` has these three, before it is given a line and a column.
"""

from __future__ import annotations

import difflib
import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

Loc = tuple[str | int, ...]
"""Path from the top of a document to a value: keys and list positions (from 0)."""


MAX_ERRORS = 200
"""Number of pydantic errors that are converted to messages; further errors are not reported."""
_MAX_NAMES = 40
_MAX_COMPARED = 50
"""With more names, only those that share the most leading and trailing characters are compared in full."""
_MAX_TYPED = 100
"""Maximum length of a misspelt name for which the nearest known name is suggested."""


class Misfit(NamedTuple):
    """One invalid value or key, and what is accepted instead."""

    loc: Loc
    what: str
    accepted: str | None = None
    on_key: bool = False
    """True if the key is wrong, rather than its value."""
    first: Loc | None = None
    """For a duplicate: the place of its first occurrence."""
    run: str | None = None
    """Command that fixes the problem or shows more about it."""


class MisfitError(ValueError):
    """Raised by a model validator to report invalid parts of the model; locs are relative to that model."""

    def __init__(self, misfits: Iterable[Misfit]) -> None:
        self.misfits = tuple(misfits)
        super().__init__("; ".join(misfit.what for misfit in self.misfits))


_NOT_OF_THE_TYPE = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_LIMITS = {"gt": "greater than", "ge": "of at least", "lt": "less than", "le": "of at most"}
_OUT_OF_BOUNDS = {
    "greater_than": "gt",
    "greater_than_equal": "ge",
    "less_than": "lt",
    "less_than_equal": "le",
}
TURNED_OFF_BY = "off"
"""Schema metadata of a number that cannot be 0: what to set to do without."""
_MAPPINGS = ("model_type", "model_attributes_type")


def one_of(names: Iterable[str], given: object = None) -> str:
    """Return `one of: a, b, c`, with a suggestion if `given` resembles one of the names.

    If there are more than 40 names, the first 40 are listed and the others counted.
    """
    known = list(dict.fromkeys(names))
    near = _nearest(given, known) if isinstance(given, str) and len(given) <= _MAX_TYPED else []
    more = f" and {len(known) - _MAX_NAMES:,} more" if len(known) > _MAX_NAMES else ""
    listed = f"one of: {', '.join(known[:_MAX_NAMES])}{more}"
    return listed + (f" (did you mean {near[0]!r}?)" if near else "")


def _nearest(given: str, known: list[str]) -> list[str]:
    """Return a list with the most similar name, or an empty list if no name is similar enough."""

    def alike(name: str) -> int:
        return _common(given, name) + _common(given[::-1], name[::-1])

    few = known if len(known) <= _MAX_COMPARED else heapq.nlargest(_MAX_COMPARED, known, key=alike)
    return difflib.get_close_matches(given, few, n=1)


def _common(a: str, b: str) -> int:
    """Return the length of the common prefix of two texts."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def yaml_line(value: object) -> str:
    """Return a value as one short line in YAML notation."""
    if value is None or value == {} or value == []:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..." + (text[-1] if isinstance(value, str) else "")


def explain(model: type[BaseModel], value: object, error: ValidationError) -> list[Misfit]:
    """Convert the errors of validating `value` as `model` to misfits, each with its loc in the document.

    Args:
        model: The model that rejected the value.
        value: The validated value: the whole document.
        error: The error that pydantic raised.
    """
    errors = [e for e in error.errors(include_url=False)[:MAX_ERRORS] if not _is_echo(e)]
    found = [(e["type"], m) for e in errors for m in _misfits(model, value, e)]
    inside = _insides(found)
    return _merged(misfit for kind, misfit in found if not _is_other_branch(kind, misfit, inside))


def _misfits(model: type[BaseModel], value: object, error: ErrorDetails) -> Iterator[Misfit]:
    """Yield the misfits of one pydantic error; only a `MisfitError` can have more than one."""
    place = _place(value, error["loc"])
    models, field = _walk(model, error["loc"])
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, MisfitError):
        for inner in cause.misfits:
            yield inner._replace(loc=place + inner.loc, first=inner.first and place + inner.first)
    elif error["type"] == "extra_forbidden":
        siblings, _ = _walk(model, error["loc"][:-1])
        key = str(error["loc"][-1])
        yield Misfit(place, f"unknown key {yaml_line(key)}", one_of(key_names(*siblings), key), on_key=True)
    elif error["type"] == "missing" and isinstance(error["loc"][-1], int):  # a list of a fixed length
        place, count = _place(value, error["loc"][:-1]), error["loc"][-1] + 1
        yield Misfit(place, f"{_name(place)} has too few values", f"a list of at least {count} values")
    elif error["type"] == "missing":
        key = str(error["loc"][-1])
        yield Misfit(place, f"the key {key!r} is missing", f"a line '{key}: ...'")
    elif error["type"].startswith("union_tag"):
        yield _wrong_tag(place, error)
    elif error["type"] in ("value_error", "assertion_error"):
        what, _, accepted = str(cause or error["msg"]).partition("; accepted: ")
        yield Misfit(_named_first(value, place, what), what, accepted or None)
    else:
        what = f"{_name(place)} is {_shown_input(error)}"
        yield Misfit(place, what, _accepted(error, field, models), on_key=error["loc"][-1:] == ("[key]",))


def _named_first(value: object, place: Loc, what: str) -> Loc:
    """Return the place of the key that a message about several keys begins with, such as `dpo.min_margin`."""
    inner: Any = value
    for part in place:
        inner = inner[part]
    for key in what.partition(" ")[0].split("."):
        if not isinstance(inner, Mapping) or key not in inner:
            break
        place, inner = (*place, key), inner[key]
    return place


def _is_echo(error: ErrorDetails) -> bool:
    """Return True if a list is reported as too short only because its entries are invalid."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _place(value: object, loc: Loc) -> Loc:
    """Return `loc` without the parts that name a branch of a union instead of a place in the file."""
    place: Loc = ()
    here: Any = value
    for part in loc:
        in_mapping = isinstance(here, Mapping) and part in here
        in_list = isinstance(here, list | tuple) and isinstance(part, int) and part < len(here)
        if in_mapping or in_list:
            here, place = here[part], (*place, part)
    return place


def _name(place: Loc) -> str:
    """Return the name of the value at a place for messages: its key, or its number in the list."""
    if not place:
        return "the file"
    if isinstance(place[-1], int):
        return f"entry {place[-1] + 1} of {_name(place[:-1])}"
    return place[-1]


def _shown_input(error: ErrorDetails) -> str:
    value = error["input"]
    return "empty" if isinstance(value, str) and not value.strip() else yaml_line(value)


def _wrong_tag(place: Loc, error: ErrorDetails) -> Misfit:
    """Return the misfit of a mapping whose kind (the tag of a union) is unknown or missing."""
    ctx = error["ctx"]
    key = ctx["discriminator"].strip("'")
    if error["type"] == "union_tag_not_found":
        return Misfit(place, f"the key {key!r} is missing", f"a line '{key}: ...'")
    kinds = re.findall(r"'([^']*)'", ctx["expected_tags"])
    value = error["input"]
    is_empty = isinstance(value, Mapping) and value.get(key, key) is None
    given = "empty" if is_empty else yaml_line(ctx["tag"])
    return Misfit((*place, key), f"{key} is {given}", one_of(kinds, ctx["tag"]))


def _accepted(error: ErrorDetails, field: FieldInfo | None, models: Sequence[type[BaseModel]]) -> str:
    """Describe the values that are accepted instead of the rejected one."""
    kind, ctx = error["type"], error.get("ctx", {})
    if kind in ("literal_error", "enum"):
        # pydantic gives the values only as a phrase: 'a', 'b' or 'c'
        values = ctx["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        return one_of(values, error["input"])
    if kind in _OUT_OF_BOUNDS:
        bounds = _bounds(field) or _limit(_OUT_OF_BOUNDS[kind], next(iter(ctx.values())))
        return f"{_noun(field)} {bounds}{_instead_of_zero(error['input'], field)}"
    if kind in _MAPPINGS and models:
        return f"a mapping with the keys: {', '.join(key_names(*models))}"
    if kind == "string_type" and isinstance(error["input"], bool | int | float):
        return f'text, in quotes: "{yaml_line(error["input"])}"'
    if kind in _NOT_OF_THE_TYPE:
        return f"{_NOT_OF_THE_TYPE[kind]} {_bounds(field)}".strip()
    return _accepted_length(kind, ctx) or error["msg"].removeprefix("Input should be ")


def _accepted_length(kind: str, ctx: Mapping[str, Any]) -> str | None:
    """Describe the accepted length of a text or list; None if the error is about something else."""
    if kind == "string_too_short" and ctx["min_length"] == 1:
        return "text that is not empty"
    if kind in ("string_too_short", "too_short"):
        least = ctx["min_length"]
        if kind == "too_short":
            return f"a list of at least {least} {'entry' if least == 1 else 'entries'}"
        return f"text of at least {least} characters"
    if kind in ("string_too_long", "too_long"):
        most = ctx["max_length"]
        return (
            f"a list of at most {most} entries"
            if kind == "too_long"
            else f"text of at most {most} characters"
        )
    return f"text that matches {ctx['pattern']}" if kind == "string_pattern_mismatch" else None


def _noun(field: FieldInfo | None) -> str:
    kinds = () if field is None else get_args(field.annotation) or (field.annotation,)
    return "a whole number" if int in kinds and float not in kinds else "a number"


def _instead_of_zero(given: object, field: FieldInfo | None) -> str:
    """Return what to set to do without, if 0 was given; null is named where it is accepted."""
    if given != 0 or field is None:
        return ""
    extra = field.json_schema_extra
    off = extra.get(TURNED_OFF_BY) if isinstance(extra, dict) else None
    null = " or null" if NoneType in get_args(field.annotation) else ""
    return f"{null}; to do without: {off}" if off else null


def _limit(name: str, value: object) -> str:
    return f"{_LIMITS[name]} {value:g}" if isinstance(value, int | float) else f"{_LIMITS[name]} {value}"


def _bounds(field: FieldInfo | None) -> str:
    """Return the bounds of a number that the field declares, such as `greater than 0 and at most 1`."""
    metadata = field.metadata if field is not None else []
    bounds = " and ".join(
        _limit(name, limit)
        for entry in metadata
        for name in _LIMITS
        if (limit := getattr(entry, name, None)) is not None
    )
    return bounds.replace(" and of at", " and at")  # "of at least 0 and at most 1"


def _walk(model: type[BaseModel], loc: Loc) -> tuple[list[type[BaseModel]], FieldInfo | None]:
    """Return the models that are possible at `loc`, and the field at `loc` if there is one."""
    models: list[type[BaseModel]] = [model]
    field: FieldInfo | None = None
    for part in loc:
        holders = [fields[part] for m in models if (fields := _fields(m)) and part in fields]
        if holders:
            field = holders[0]
            models = list(_models_in(field.annotation))
        else:
            field = field if isinstance(part, str) else None
            models = [m for m in models if _is_branch(m, part)] or models
    return models, field


def _fields(model: type[BaseModel]) -> dict[str | int, FieldInfo]:
    """Return a model's fields by their keys in a file."""
    return {
        field.validation_alias if isinstance(field.validation_alias, str) else name: field
        for name, field in model.model_fields.items()
    }


def key_names(*models: type[BaseModel]) -> list[str]:
    """Return the keys that any of the models accepts in a file."""
    return list(dict.fromkeys(str(key) for model in models for key in _fields(model)))


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the models in an annotation, including those inside unions and collections."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for argument in get_args(annotation):
            yield from _models_in(argument)


def _is_branch(model: type[BaseModel], part: str | int) -> bool:
    """Return True if `part` is pydantic's name of this model's branch of a union: its tag or class name."""
    tags = (
        get_args(f.annotation) for f in model.model_fields.values() if get_origin(f.annotation) is Literal
    )
    return part == model.__name__ or any(part in values for values in tags)


def _insides(found: Sequence[tuple[str, Misfit]]) -> set[Loc]:
    """Return the places that contain a misfit, or that have one other than a wrong type or name."""
    inside: set[Loc] = set()
    for kind, misfit in found:
        parts = len(misfit.loc) + (kind not in _NOT_OF_THE_TYPE and kind != "literal_error")
        inside.update(misfit.loc[:end] for end in range(parts))
    return inside


def _is_other_branch(kind: str, misfit: Misfit, inside: set[Loc]) -> bool:
    """Return True if a more exact misfit shows that the value was meant for another branch of the union."""
    return kind in _NOT_OF_THE_TYPE and misfit.loc in inside


def _merged(misfits: Iterable[Misfit]) -> list[Misfit]:
    """Merge the misfits of the same value into one whose `accepted` names every branch."""
    merged: dict[tuple[Loc, str], Misfit] = {}
    for misfit in misfits:
        before = merged.get((misfit.loc, misfit.what))
        if before and misfit.accepted and misfit.accepted not in (before.accepted or ""):
            misfit = before._replace(accepted=f"{before.accepted}, or {misfit.accepted}")
        merged[misfit.loc, misfit.what] = misfit
    return list(merged.values())
