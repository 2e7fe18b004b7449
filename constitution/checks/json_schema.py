"""JSON Schemas in a constitution, and validation of answers against them.

A schema is stored as canonical JSON text, which is hashable, and serialised as a mapping. References must
point to a place within the schema; nothing is fetched. Patterns are searched only in the first
`SEARCHED_CHARACTERS` of a text, as everywhere.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from constitution.fields import SEARCHED_CHARACTERS, compiles
from core.digests import canonical_json
from core.text.explain import Loc, Misfit, MisfitError, one_of, yaml_line

_MAX_DEPTH = 64
MAX_KEY = 1_000
"""Maximum characters of a key in an answer: a schema's patterns may be tried on every key."""
MAX_DIGITS = 300
"""Maximum digits of an integer: a longer one may not fit the floats that schemas compare it with."""
_MAX_ERRORS = 100
MAX_REFERENCES = 100_000
"""Maximum references followed for one value. Without a limit, a few references that each lead to two others
would take millions of steps, even without a cycle."""
_REPORTED = 5
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DIALECTS = (
    _DIALECT,
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema#",
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-04/schema#",
)
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_followed: ContextVar[Iterator[int]] = ContextVar("followed")
"""Counts the references followed for the current value, because validator rules cannot keep state."""
_FENCED = re.compile(r"\s*(```|~~~)[A-Za-z0-9]*[ \t]*\n(.*)\n[ \t]*\1\s*", re.DOTALL)


class NotJson(ValueError):
    """A text is not JSON, or not JSON that is accepted here."""


def parse_answer(text: str) -> object:
    """Return the JSON value of an answer, with or without one code fence around it.

    Raises:
        NotJson: The answer is not JSON, a key occurs twice in an object, a number is not finite or has more
            than 300 digits, it is nested deeper than 64 levels, or a key is longer than 1,000 characters.
    """
    fenced = _FENCED.fullmatch(text)
    try:
        value: object = json.loads(
            fenced[2] if fenced else text,
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_short_int,
        )
    except (ValueError, RecursionError) as error:  # also ValueError: Python limits integers
        raise NotJson(str(error)) from None
    if not _is_shallow(value):
        raise NotJson(f"nested deeper than {_MAX_DEPTH} levels")
    return value


def count_errors(schema: str, value: object) -> int:
    """Return the number of validation errors of a value, at most `_MAX_ERRORS`; 0 if it is valid.

    A value that requires following more than `MAX_REFERENCES` references has `_MAX_ERRORS` errors.
    """
    try:
        return sum(1 for _ in itertools.islice(_errors(_validator(schema), value), _MAX_ERRORS))
    except RecursionError:
        return _MAX_ERRORS


class _TooManyReferencesError(RecursionError):
    """More than `MAX_REFERENCES` references were followed for one value."""


def _errors(validator: Any, value: object) -> Iterator[Any]:
    """Yield the validation errors of a value.

    Raises:
        RecursionError: The references form an infinite loop, or there are too many of them.
    """
    _followed.set(itertools.count(1))
    yield from validator.iter_errors(value)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotJson("a key occurs twice")
    if any(len(key) > MAX_KEY for key in found):
        raise NotJson(f"a key is longer than {MAX_KEY} characters")
    return found


def _no_constant(name: str) -> object:
    raise NotJson(f"{name} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if value in (float("inf"), float("-inf")):
        raise NotJson(f"{number} is too large")
    return value


def _short_int(number: str) -> int:
    if len(number) > MAX_DIGITS:
        raise NotJson(f"a number has more than {MAX_DIGITS} digits")
    return int(number)


def _is_shallow(value: object) -> bool:
    """Return whether a value is nested at most `_MAX_DEPTH` levels deep."""
    level: list[object] = [value]
    for _ in range(_MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return True
    return False


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    """Return the validator of a schema in canonical JSON."""
    import jsonschema
    import referencing

    content = json.loads(schema)
    dialect = jsonschema.validators.validator_for(content, default=jsonschema.Draft202012Validator)
    counted = {name: _counted(dialect.VALIDATORS[name]) for name in _REFERENCES if name in dialect.VALIDATORS}
    rules = {"pattern": _bounded_pattern, **counted}
    bounded = jsonschema.validators.extend(dialect, rules)  # type: ignore[no-untyped-call]
    # The library's default registry would fetch remote references; an empty one does not.
    return bounded(content, registry=referencing.Registry())


def _bounded_pattern(validator: Any, pattern: str, instance: object, schema: object) -> Iterator[Any]:
    from jsonschema import ValidationError

    if validator.is_type(instance, "string") and not re.search(pattern, str(instance)[:SEARCHED_CHARACTERS]):
        yield ValidationError(f"the pattern {pattern!r} is not found")


def _counted(follow: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    """Wrap a reference rule to limit how many references are followed for one value."""

    def followed(validator: Any, target: object, instance: object, schema: object) -> Iterator[Any]:
        if next(_followed.get()) > MAX_REFERENCES:
            raise _TooManyReferencesError
        yield from follow(validator, target, instance, schema) or ()

    return followed


def _frozen(value: object) -> str:
    """Return a schema as canonical JSON. Raises an error with the place of each mistake."""
    if not isinstance(value, Mapping):
        raise ValueError(f"value is {yaml_line(value)}; accepted: a JSON Schema, or {{}} for any JSON")
    dialect = value.get("$schema", _DIALECT)
    if dialect not in _DIALECTS:
        accepted = one_of(_DIALECTS, dialect)
        raise MisfitError([Misfit(("$schema",), f"unknown dialect {yaml_line(dialect)}", accepted)])
    try:
        text = canonical_json(value)
    except (TypeError, ValueError):
        what = "the schema has a value that JSON cannot represent, such as .nan"
        raise ValueError(f"{what}; accepted: a JSON Schema") from None
    misfits = list(itertools.islice(_wrong_parts(value, text), _REPORTED))
    if misfits:
        raise MisfitError(misfits)
    return text


def _wrong_parts(schema: Mapping[str, object], text: str) -> Iterator[Misfit]:
    """Yield the mistakes of a schema: first by the metaschema of its dialect, then by our own rules."""
    found = False
    for misfit in itertools.chain(_against_metaschema(json.loads(text)), _nested_names(schema)):
        found = True
        yield misfit
    if found:  # the checks below require a valid schema
        return
    validator = _validator(text)
    seen: dict[int, bool] = {}
    for loc, target in _named(schema, _REFERENCES):
        why = _reference_mistake(validator, target, seen)
        if why:
            found = True
            accepted = "a reference to a place in this schema, such as '#/$defs/name'; nothing is fetched"
            yield Misfit(loc, f"the reference {yaml_line(target)} {why}", accepted)
    why = "" if found else _recursion_mistake(validator)
    if why:
        yield Misfit((), why, "recursive references only below a property or an item")


def _against_metaschema(content: Any, within: Any = None) -> Iterator[Misfit]:
    """Yield the metaschema's errors for a schema, or for a part of the schema of the validator `within`."""
    import jsonschema
    import referencing

    default = jsonschema.Draft202012Validator
    dialect = within or jsonschema.validators.validator_for(content, default=default)
    kind = jsonschema.validators.validator_for(dialect.META_SCHEMA)
    formats = jsonschema.FormatChecker(formats=())
    formats.checks("regex", raises=ValueError)(lambda text: not isinstance(text, str) or bool(compiles(text)))
    meta = kind(dialect.META_SCHEMA, format_checker=formats, registry=referencing.Registry())
    for error in meta.iter_errors(content):
        keyword = next((str(part) for part in reversed(error.path) if isinstance(part, str)), "value")
        what = f"invalid JSON Schema: {keyword} is {yaml_line(error.instance)}"
        yield Misfit(tuple(error.path), what, _wanted(error))


def _nested_names(schema: Mapping[str, object]) -> Iterator[Misfit]:
    """Yield each nested schema with its own `$id` or `$schema`, which would change how references resolve."""
    names = ("$id", "$schema", "id") if "draft-04" in str(schema.get("$schema")) else ("$id", "$schema")
    for loc, name in _named(schema, names):
        if len(loc) > 1:
            what = f"the schema contains another schema, {yaml_line(name)}"
            yield Misfit(loc, what, "a single schema")


def _wanted(error: Any) -> str:
    """Return a description of the values that the metaschema accepts in place of the invalid one."""
    keyword, wanted = error.validator, error.validator_value
    if keyword == "enum":
        return one_of(map(str, wanted), error.instance)
    if keyword == "type":
        return f"of type {' or '.join([wanted] if isinstance(wanted, str) else wanted)}"
    if keyword == "format":
        return "a regular expression" if wanted == "regex" else f"text in the format {wanted}"
    if keyword == "anyOf" and error.path and error.path[-1] == "type":
        return one_of(_TYPES, error.instance)
    return f"{keyword} {wanted}" if isinstance(wanted, int | float | str) else "what JSON Schema allows there"


def _named(value: object, names: Sequence[str], loc: Loc = ()) -> Iterator[tuple[Loc, str]]:
    """Yield every text value under one of the keys. The YAML reader bounds the depth of the recursion."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in names and isinstance(inner, str):
                yield (*loc, key), inner
            else:
                yield from _named(inner, names, (*loc, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _named(inner, names, (*loc, index))


def _reference_mistake(validator: Any, target: str, seen: dict[int, bool]) -> str:
    """Return what is wrong with a reference, as a predicate; empty if it points to a schema.

    Args:
        validator: The validator of the whole schema.
        target: The reference.
        seen: Cache between calls: which places, by object id, hold a valid schema.
    """
    from referencing.exceptions import Unresolvable

    if not target.startswith("#"):
        return "cannot be resolved"
    try:
        content = validator._resolver.lookup(target).contents
    except (Unresolvable, ValueError, TypeError):  # TypeError: the path continues below a number
        return "cannot be resolved"
    if not isinstance(content, Mapping):
        return "" if isinstance(content, bool) else "does not point to a schema"
    if id(content) not in seen:
        # Places such as `enum` or `default` may hold anything, and the metaschema does not check them.
        seen[id(content)] = not any(_against_metaschema(content, validator))
    return "" if seen[id(content)] else "does not point to a schema"


def _recursion_mistake(validator: Any) -> str:
    """Return why validation of the simplest values does not terminate; empty if it does."""
    try:
        simplest: tuple[Any, ...] = (None, True, 0, "", [], {})
        for value in simplest:
            next(_errors(validator, value), None)
    except _TooManyReferencesError:
        return f"the schema requires following more than {MAX_REFERENCES:,} references for one value"
    except RecursionError:
        return "the references of the schema form an infinite loop"
    return ""


JsonSchema = Annotated[
    str,
    BeforeValidator(_frozen),
    PlainSerializer(json.loads, return_type=dict[str, Any]),
    WithJsonSchema({"type": "object"}),
]
"""A JSON Schema, stored as canonical JSON text and written as a mapping in files."""
