"""The JSON Schema: what is published, and that it judges files as the loader does."""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path

import jsonschema
import pytest

from constitution.file_schema import SCHEMA_NAME, ConstitutionFile, json_schema, json_schema_text, with_header
from constitution.loader import load_constitution, preset_names, preset_path
from constitution.schema import Principle
from core.errors import ConfigError
from core.text.explain import key_names
from core.text.yaml_file import parse_yaml
from tests.constitution.examples import WELL_FORMED, write_all
from tests.constitution.malformed import OF_THE_FORM, YAML

PATH = Path("constitution.yaml")
PUBLISHED = Path(str(importlib.resources.files("constitution") / SCHEMA_NAME))


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    jsonschema.Draft7Validator.check_schema(json_schema())
    return jsonschema.Draft7Validator(json_schema())


def test_what_is_published_is_what_the_models_say():
    assert PUBLISHED.read_text(encoding="utf-8") == json_schema_text(), "run: make schema"


@pytest.mark.parametrize("case", OF_THE_FORM, ids=lambda case: case[0][:60])
def test_the_schema_refuses_what_the_loader_refuses_where_a_schema_can(schema, case):
    text, _, *unsaid = case
    assert schema.is_valid(parse_yaml(text, PATH).value) is bool(unsaid)


@pytest.mark.parametrize("text", [text for text, _ in YAML])
def test_what_is_no_yaml_of_our_kind_never_comes_to_the_schema(text):
    # Merge keys are read as a key of that name, which the schema does not know.
    if "<<" not in text:
        with pytest.raises(ConfigError):
            parse_yaml(text, PATH)


@pytest.mark.parametrize("files", WELL_FORMED.values(), ids=WELL_FORMED)
def test_schema_and_loader_accept_every_good_file(schema, tmp_path, files):
    main = write_all(tmp_path, files)
    load_constitution(main)
    for name, text in files.items():
        if name.endswith(".yaml"):
            schema.validate(parse_yaml(text, PATH).value)


@pytest.mark.parametrize("name", preset_names())
def test_presets_fit_the_schema_and_point_at_it(schema, name):
    text = preset_path(name).read_text(encoding="utf-8")
    schema.validate(parse_yaml(text, PATH).value)
    pointer = text.split("\n")[0].removeprefix("# yaml-language-server: $schema=")
    assert (preset_path(name).parent / pointer).resolve() == PUBLISHED.resolve()


def test_every_key_is_described():
    file, principle = json_schema()["anyOf"][1], json_schema()["$defs"]["Principle"]
    assert list(file["properties"]) == key_names(ConstitutionFile)
    assert list(principle["properties"]) == key_names(Principle)
    for part in (file, *json_schema()["$defs"].values()):
        assert part["description"]
        for key, said in part.get("properties", {}).items():
            assert said.get("description") or key == "kind" or "$ref" in said, key


def test_the_values_that_an_editor_offers_are_listed():
    definitions, file = json_schema()["$defs"], json_schema()["anyOf"][1]
    assert file["properties"]["priority"]["enum"] == ["holistic", "strict"]
    assert definitions["Example"]["properties"]["use"]["enum"] == ["test", "few_shot"]


def test_no_reference_has_something_beside_it_that_draft_7_would_not_read():
    def parts(value):
        if isinstance(value, dict):
            yield value
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from parts(inner)

    assert all(len(part) == 1 for part in parts(json_schema()) if "$ref" in part)


def test_a_header_takes_the_place_of_another():
    ours = f"# yaml-language-server: $schema=./{SCHEMA_NAME}\n"
    assert with_header("name: x\n") == ours + "name: x\n"
    assert with_header("# yaml-language-server: $schema=../a.json\nname: x\n") == ours + "name: x\n"


def test_the_schema_is_json_of_one_reading():
    assert json.loads(json_schema_text()) == json_schema()
