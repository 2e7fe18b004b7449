"""The JSON Schema of run files, for completion and validation in editors."""

from __future__ import annotations

import json
from typing import Any, Final

from constitution.file_schema import DRAFT, tidied_schema
from engines.config import ROLES
from publius.config.reference import all_sections
from publius.config.run_file import RunConfig

RUN_SCHEMA_NAME: Final = "run.schema.json"
_TEXT = {"type": "string", "minLength": 1}


def run_schema_text() -> str:
    """Return the JSON Schema as the content of a file."""
    return json.dumps(run_schema(), indent=1, ensure_ascii=False) + "\n"


def run_schema() -> dict[str, Any]:
    """Return the JSON Schema of a run file, including the short forms.

    Rules between settings, such as that the shares of the splits sum to 1, are not in it: a file that the
    schema accepts may still be refused.
    """
    schema = RunConfig.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    properties = schema["properties"]
    properties["prompts"] = _with_short_form(properties["prompts"], "A path or Hugging Face id")
    roles = definitions["ModelsConfig"]["properties"]
    for role in ROLES:
        roles[role] = _with_short_form(roles[role], "A Hugging Face id, a folder, or the name of a role")
    # A limit may be a text or `off`, and names of metrics may be nested: `{win_rate: {low: ">= 0.5"}}`.
    properties["gates"] = {"description": properties["gates"]["description"], "type": ["object", "null"]}
    del definitions["Gate"]
    _describe(schema)
    found: dict[str, Any] = tidied_schema(_draft_7(schema))
    return {"$schema": DRAFT, **found, "title": "Run file"}


def _with_short_form(full: dict[str, Any], what: str) -> dict[str, Any]:
    """Return the schema of a value that may be a text in place of a mapping."""
    branches = full.get("anyOf") or [{"$ref": full["$ref"]}]
    rest = {key: value for key, value in full.items() if key not in ("anyOf", "$ref")}
    return {**rest, "anyOf": [{**_TEXT, "description": f"{what}."}, *branches]}


def _describe(schema: dict[str, Any]) -> None:
    """Add the descriptions that pydantic leaves out: those of a base class, and those of a section itself."""
    definitions = schema["$defs"]
    for section in (schema, *definitions.values()):
        for part in section.get("properties", {}).values():
            if "$ref" in part:
                part.setdefault("description", _section(part, definitions).get("description", ""))
    for settings in all_sections().values():
        for setting in settings:
            *parents, name = setting.key.split(".")
            part = schema
            for key in parents:
                part = _section(part.get("properties", {}).get(key, {}), definitions)
            if name in part.get("properties", {}):
                part["properties"][name].setdefault("description", setting.meaning)


def _section(part: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the definition that a part of the schema refers to, directly or as a branch of a union."""
    for branch in (part, *part.get("anyOf", ())):
        if "$ref" in branch:
            found: dict[str, Any] = definitions[branch["$ref"].rpartition("/")[2]]
            return found
    return {}


def _draft_7(part: Any) -> Any:
    """Return a part of the schema with the lists of fixed length as draft 7 writes them."""
    if isinstance(part, list):
        return [_draft_7(entry) for entry in part]
    if not isinstance(part, dict):
        return part
    return {"items" if key == "prefixItems" else key: _draft_7(value) for key, value in part.items()}
