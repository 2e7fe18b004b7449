"""JSON Schemas that a constitution holds, and answers that are held against them.

A schema is kept as canonical JSON text, which is hashable, and is written out as a mapping again. Nothing is
fetched: references lead to places within the schema. Patterns see the beginning of a text, as everywhere.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from constitution.fields import SEARCHED_CHARACTERS
from core.digests import canonical_json
from core.explain import Loc, Misfit, MisfitError, one_of, shown

MAX_DEPTH = 64
MAX_KEY = 1_000
"""Characters of a key in an answer; a schema's patterns are tried on all keys."""
MAX_DIGITS = 300
"""Of a whole number: a longer one is beyond the floating-point numbers that schemas compare it with."""
MAX_ERRORS = 100
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
_FENCED = re.compile(r"\s*(```|~~~)[A-Za-z0-9]*[ \t]*\n(.*)\n[ \t]*\1\s*", re.DOTALL)


class NotJson(ValueError):
    """A text is no JSON, or none that is read here."""


def parse_answer(text: str) -> object:
    """Return the JSON value that an answer is, with or without one code fence around it.

    Raises:
        NotJson: It is none, a key occurs twice in an object, a number is not finite or has more than 300
            digits, it is nested deeper than 64 levels, or a key is longer than 1,000 characters.
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
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits are a ValueError, too
        raise NotJson(str(error)) from None
    if not _is_shallow(value):
        raise NotJson(f"nested deeper than {MAX_DEPTH} levels")
    return value


def count_errors(schema: str, value: object) -> int:
    """Return in how many ways a value breaks a schema, at most `MAX_ERRORS`; 0 if it does not."""
    try:
        return sum(1 for _ in itertools.islice(_validator(schema).iter_errors(value), MAX_ERRORS))
    except RecursionError:
        return MAX_ERRORS


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotJson("a key occurs twice")
    if any(len(key) > MAX_KEY for key in found):
        raise NotJson(f"a key is longer than {MAX_KEY} characters")
    return found


def _no_constant(name: str) -> object:
    raise NotJson(f"{name} is no JSON")


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
    """Return whether a value is nested no deeper than `MAX_DEPTH`."""
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
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
    """Return what holds values against a schema in canonical JSON."""
    import jsonschema
    import referencing

    content = json.loads(schema)
    dialect = jsonschema.validators.validator_for(content, default=jsonschema.Draft202012Validator)
    bounded = jsonschema.validators.extend(dialect, {"pattern": _bounded_pattern})  # type: ignore[no-untyped-call]
    # An empty registry: the library's own one would fetch what a reference names.
    return bounded(content, registry=referencing.Registry())


def _bounded_pattern(validator: Any, pattern: str, instance: object, schema: object) -> Iterator[Any]:
    from jsonschema import ValidationError

    if validator.is_type(instance, "string") and not re.search(pattern, str(instance)[:SEARCHED_CHARACTERS]):
        yield ValidationError(f"the pattern {pattern!r} is not found")


def _frozen(value: object) -> str:
    """Return a schema as canonical JSON, or say where it goes wrong."""
    if not isinstance(value, Mapping):
        raise ValueError(f"value is {shown(value)}; accepted: a JSON Schema, or {{}} for any JSON")
    dialect = value.get("$schema", _DIALECT)
    if dialect not in _DIALECTS:
        accepted = one_of(_DIALECTS, dialect)
        raise MisfitError([Misfit(("$schema",), f"unknown dialect {shown(dialect)}", accepted)])
    try:
        text = canonical_json(value)
    except (TypeError, ValueError):
        raise ValueError("the schema holds what is no JSON, such as .nan; accepted: a JSON Schema") from None
    misfits = list(itertools.islice(_wrong_parts(value, text), _REPORTED))
    if misfits:
        raise MisfitError(misfits)
    return text


def _wrong_parts(schema: Mapping[str, object], text: str) -> Iterator[Misfit]:
    """Yield what is wrong with a schema: by the metaschema of its dialect first, then by our own rules."""
    found = False
    for misfit in itertools.chain(_against_metaschema(json.loads(text)), _nested_names(schema)):
        found = True
        yield misfit
    if found:  # the rest needs a schema that holds together
        return
    validator = _validator(text)
    for loc, target in _named(schema, _REFERENCES):
        if not _leads_somewhere(validator, target):
            found = True
            accepted = "a reference to a place in this schema, such as '#/$defs/name'; nothing is fetched"
            yield Misfit(loc, f"the reference {shown(target)} leads nowhere here", accepted)
    if not found and not _ends(validator):
        yield Misfit((), "the schema refers to itself without end", "references that go a level deeper")


def _against_metaschema(content: Any) -> Iterator[Misfit]:
    import jsonschema
    import referencing

    dialect = jsonschema.validators.validator_for(content, default=jsonschema.Draft202012Validator)
    kind = jsonschema.validators.validator_for(dialect.META_SCHEMA)
    meta = kind(dialect.META_SCHEMA, format_checker=kind.FORMAT_CHECKER, registry=referencing.Registry())
    for error in meta.iter_errors(content):
        keyword = next((str(part) for part in reversed(error.path) if isinstance(part, str)), "value")
        yield Misfit(
            tuple(error.path), f"no JSON Schema: {keyword} is {shown(error.instance)}", _wanted(error)
        )


def _nested_names(schema: Mapping[str, object]) -> Iterator[Misfit]:
    """Yield every place below the top where a schema begins another, to which references would lead."""
    for loc, name in _named(schema, ("$id", "$schema")):
        if len(loc) > 1:
            yield Misfit(loc, f"a schema of its own, {shown(name)}, within the schema", "one schema")


def _wanted(error: Any) -> str:
    """Return what a metaschema accepts at a place."""
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
    """Yield every text in a schema under one of the names; the reader of YAML bounds how deep it is."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in names and isinstance(inner, str):
                yield (*loc, key), inner
            else:
                yield from _named(inner, names, (*loc, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _named(inner, names, (*loc, index))


def _leads_somewhere(validator: Any, target: str) -> bool:
    from referencing.exceptions import Unresolvable

    if not target.startswith("#"):
        return False
    try:
        validator._resolver.lookup(target)
    except Unresolvable:
        return False
    return True


def _ends(validator: Any) -> bool:
    """Return whether holding the simplest values against the schema comes to an end."""
    try:
        simplest: tuple[Any, ...] = (None, True, 0, "", [], {})
        for value in simplest:
            next(validator.iter_errors(value), None)
    except RecursionError:
        return False
    return True


JsonSchema = Annotated[
    str,
    BeforeValidator(_frozen),
    PlainSerializer(json.loads, return_type=dict[str, Any]),
    WithJsonSchema({"type": "object"}),
]
"""A JSON Schema as canonical JSON text; a mapping in files."""
