"""The form of a constitution's file, and the JSON Schema by which editors complete and check it.

`constitution.schema.Constitution` is what a file comes to; `ConstitutionFile` is what a file may say on the
way there: it may build on another file and point into a document. `publius schema` prints the JSON Schema.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import Field

from constitution.fields import Text
from constitution.schema import Constitution, Id, Principle

SCHEMA_NAME: Final = "constitution.schema.json"
_HEADER: Final = "# yaml-language-server: $schema="
# Drafts after this one are not read by every editor.
_DRAFT = "http://json-schema.org/draft-07/schema#"
_DEFINITION = "#/$defs/Principle"


class ConstitutionFile(Constitution):
    """A constitution as a file says it."""

    extends: Text = ""
    """The constitution that this one builds on: the name of a preset, or a path relative to this file.

    All principles of the base are taken over. A principle with the `id` of one of them changes the keys that
    it gives; `null` gives a key its default again. Other principles are added at the end. `preamble`,
    `priority`, `sections` and `lint_ignore` are the base's unless this file has its own; `passages` are added
    to the base's."""
    remove: tuple[Id, ...] = Field(default=(), json_schema_extra={"uniqueItems": True})
    """The ids of principles of the base that this constitution does without."""
    document: Text = ""
    """A Markdown file, as a path relative to this file, whose headings principles may name in `source`.

    The anchor of a heading is GitHub's: `## Avoiding harm` is `#avoiding-harm`; or the author's own, as in
    `## Avoiding harm {#harm}`. A passage is the heading and its text, up to the next heading of the same or a
    higher level. Only passages that a principle names become a part of the constitution."""


def json_schema_text() -> str:
    """Return the JSON Schema as the text of a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def with_header(text: str) -> str:
    """Return a constitution's file with the line that tells editors of the schema beside it."""
    first, _, rest = text.partition("\n")
    return f"{_HEADER}./{SCHEMA_NAME}\n{rest if first.startswith(_HEADER) else text}"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a file, with all the short forms."""
    mapping = ConstitutionFile.model_json_schema(by_alias=True)
    definitions = mapping.pop("$defs")
    plain = definitions["Principle"]
    plain["required"] = ["text"]
    definitions["Override"] = _override(plain)
    definitions["Sentence"] = {
        "title": "Sentence",
        "description": "A principle as one sentence about the reply; its id is made from its words.",
        "type": "string",
        "minLength": 1,
        "pattern": r"\S",
    }
    schema = {
        "$schema": _DRAFT,
        "title": "Constitution",
        "description": "A list of sentences, or a mapping with the keys name and principles.",
        "anyOf": [{**_principles(_DEFINITION), "minItems": 1}, _mapping(mapping)],
        "$defs": dict(sorted(definitions.items())),
    }
    tidied: dict[str, Any] = _tidied(schema)
    return tidied


def _principles(*definitions: str) -> dict[str, Any]:
    """Return the schema of a list of sentences and mappings."""
    entries = [{"$ref": "#/$defs/Sentence"}, *({"$ref": definition} for definition in definitions)]
    return {"type": "array", "items": {"anyOf": entries}}


def _mapping(mapping: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a file that is a mapping, with or without a base."""
    properties = mapping["properties"]
    properties["version"]["type"] = ["string", "number"]
    properties["sections"]["uniqueItems"] = True
    properties["passages"]["additionalProperties"] = False
    said = properties["principles"]["description"]
    properties["principles"] = {"description": said, **_principles(_DEFINITION, "#/$defs/Override")}
    for key in ("extends", "document"):
        properties[key].update({"minLength": 1, "pattern": r"\S"})
    alone = {"principles": {**_principles(_DEFINITION), "minItems": 1}, "remove": False}
    without_base = {"required": ["principles"], "properties": alone}
    return {**mapping, "required": ["name"], "if": {"required": ["extends"]}, "else": without_base}


def _override(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a principle that changes one of the base's."""
    properties = {
        key: {"description": said["description"], "anyOf": [_of(key), {"type": "null"}]}
        for key, said in plain["properties"].items()
        if key not in ("id", "text")
    }
    return {
        "title": "Override",
        "description": "Changes to the principle of that id in the base; null gives a key its default again.",
        "type": "object",
        "additionalProperties": False,
        "required": ["id"],
        "properties": {"id": _of("id"), "text": _of("text"), **properties},
    }


def _of(key: str) -> dict[str, str]:
    """Return a reference to the schema of a principle's key."""
    assert key in {field.alias or name for name, field in Principle.model_fields.items()}
    return {"$ref": f"{_DEFINITION}/properties/{key}"}


def _tidied(part: Any) -> Any:
    """Return a part of the schema without titles that only repeat a key, its references as in draft 7."""
    if isinstance(part, list):
        return [_tidied(entry) for entry in part]
    if not isinstance(part, dict):
        return part
    tidied = {key: _tidied(value) for key, value in part.items() if key != "discriminator"}
    if isinstance(tidied.get("title"), str) and "properties" not in tidied and "$schema" not in tidied:
        del tidied["title"]
    if isinstance(tidied.get("description"), str):
        tidied["description"] = " ".join(tidied["description"].split())
    if tidied.get("default", ...) is None or tidied.get("default") == "":
        del tidied["default"]
    if "$ref" in tidied and len(tidied) > 1:  # what stands beside a reference is not read
        tidied["allOf"] = [{"$ref": tidied.pop("$ref")}]
    return tidied
