"""The model of a constitution file, and its JSON Schema for completion and validation in editors.

`ConstitutionFile` models a file as written, which may extend another file and refer to passages of a
document. `constitution.schema.Constitution` is the resolved result. `publius schema` prints the JSON Schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic import Field

from constitution.checks.kinds import KINDS_OF_PHRASES
from constitution.fields import Text
from constitution.schema import Constitution, Id, Principle

SCHEMA_NAME: Final = "constitution.schema.json"
SCHEMA_HEADER: Final = "# yaml-language-server: $schema="
# Not every editor supports later drafts.
DRAFT = "http://json-schema.org/draft-07/schema#"
_DEFINITION = "#/$defs/Principle"


class ConstitutionFile(Constitution):
    """A constitution as written in a file."""

    extends: Text = ""
    """The base constitution: the name of a preset, or a path relative to this file.

    All principles of the base are inherited. A principle with the `id` of an inherited one overrides the keys
    that it gives; `null` resets a key to its default. Other principles are added at the end. `preamble`,
    `priority`, `sections` and `lint_ignore` are inherited unless this file has its own; `passages` are added
    to those of the base."""
    remove: tuple[Id, ...] = Field(default=(), json_schema_extra={"uniqueItems": True})
    """Ids of the base's principles to remove."""
    document: Text = ""
    """A Markdown file whose headings principles may refer to in `source`; a path relative to this file.

    The anchor of a heading is GitHub's (`## Avoiding harm` has the anchor `#avoiding-harm`) or an explicit
    one, as in `## Avoiding harm {#harm}`. A passage is the heading and its text, up to the next heading of
    the same or a higher level. Only passages that a principle refers to become part of the constitution."""


def json_schema_text() -> str:
    """Return the JSON Schema as the content of a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def with_header(text: str) -> str:
    """Return the text of a constitution file with the header line that points editors to the schema."""
    first, _, rest = text.partition("\n")
    return f"{SCHEMA_HEADER}./{SCHEMA_NAME}\n{rest if first.startswith(SCHEMA_HEADER) else text}"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a constitution file, including the short forms."""
    mapping = ConstitutionFile.model_json_schema(by_alias=True)
    definitions = mapping.pop("$defs")
    plain = definitions["Principle"]
    plain["required"] = ["text"]
    for owner, key in _lists_of_texts(mapping, definitions):
        owner[key] = _or_one(owner[key])
    definitions["Override"] = _override(plain)
    definitions["Sentence"] = {
        "title": "Sentence",
        "description": "A principle as one sentence about the reply; its id is generated from its words.",
        "type": "string",
        "minLength": 1,
        "pattern": r"\S",
    }
    schema = {
        "$schema": DRAFT,
        "title": "Constitution",
        "description": "A list of sentences, or a mapping with the keys name and principles.",
        "anyOf": [{**_principles(_DEFINITION), "minItems": 1}, _mapping(mapping)],
        "$defs": dict(sorted(definitions.items())),
    }
    tidied: dict[str, Any] = tidied_schema(schema)
    return tidied


def _lists_of_texts(
    mapping: dict[str, Any], definitions: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the keys whose list a single text may stand for, each with the properties that it belongs to."""
    for key in ("sections", "lint_ignore", "remove"):
        yield mapping["properties"], key
    yield definitions["Principle"]["properties"], "lint_ignore"
    yield definitions["Scope"]["properties"], "tags"
    for definition in definitions.values():
        if definition.get("properties", {}).get("kind", {}).get("const") in KINDS_OF_PHRASES:
            yield definition["properties"], "value"


def _or_one(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list of texts, or of one text without commas."""
    one = {"type": "string", "allOf": [schema["items"], {"pattern": r"^[^,]*[^,\s][^,]*$"}]}
    listed = {key: schema[key] for key in schema if key not in ("description", "default", "title")}
    return {"description": schema["description"], "anyOf": [listed, one]}


def _principles(*definitions: str) -> dict[str, Any]:
    """Return the schema of a list whose entries are sentences or one of the definitions."""
    entries = [{"$ref": "#/$defs/Sentence"}, *({"$ref": definition} for definition in definitions)]
    return {"type": "array", "items": {"anyOf": entries}}


def _mapping(mapping: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a file that is a mapping, with or without a base."""
    properties = mapping["properties"]
    properties["version"]["type"] = ["string", "number"]
    properties["sections"]["anyOf"][0]["uniqueItems"] = True
    properties["passages"]["additionalProperties"] = False
    description = properties["principles"]["description"]
    properties["principles"] = {"description": description, **_principles(_DEFINITION, "#/$defs/Override")}
    for key in ("extends", "document"):
        properties[key].update({"minLength": 1, "pattern": r"\S"})
    alone = {"principles": {**_principles(_DEFINITION), "minItems": 1}, "remove": False}
    without_base = {"required": ["principles"], "properties": alone}
    return {**mapping, "required": ["name"], "if": {"required": ["extends"]}, "else": without_base}


def _override(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a principle that overrides one of the base."""
    properties = {
        key: {"description": field["description"], "anyOf": [_of(key), {"type": "null"}]}
        for key, field in plain["properties"].items()
        if key not in ("id", "text")
    }
    return {
        "title": "Override",
        "description": "Changes to the base's principle with this id; null resets a key to its default.",
        "type": "object",
        "additionalProperties": False,
        "required": ["id"],
        "properties": {"id": _of("id"), "text": _of("text"), **properties},
    }


def _of(key: str) -> dict[str, str]:
    """Return a reference to the schema of a principle's key."""
    assert key in {field.alias or name for name, field in Principle.model_fields.items()}
    return {"$ref": f"{_DEFINITION}/properties/{key}"}


def tidied_schema(part: Any) -> Any:
    """Return a part of the schema in draft 7 form, without titles that only repeat a key."""
    if isinstance(part, list):
        return [tidied_schema(entry) for entry in part]
    if not isinstance(part, dict):
        return part
    tidied = {key: tidied_schema(value) for key, value in part.items() if key != "discriminator"}
    if isinstance(tidied.get("title"), str) and "properties" not in tidied and "$schema" not in tidied:
        del tidied["title"]
    if isinstance(tidied.get("description"), str):
        tidied["description"] = " ".join(tidied["description"].split())
    if tidied.get("default", ...) is None or tidied.get("default") == "":
        del tidied["default"]
    if "$ref" in tidied and len(tidied) > 1:  # draft 7 ignores the siblings of a reference
        tidied["allOf"] = [{"$ref": tidied.pop("$ref")}]
    return tidied
