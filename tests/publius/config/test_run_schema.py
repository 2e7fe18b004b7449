"""The JSON Schema of run files and the reference page: made from the settings, and current."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import publius
from publius.config.reference import all_sections
from publius.config.run_file import RunConfig
from publius.config.run_schema import run_schema
from publius.config.settings_page import settings_page
from publius.runs.project import init_project
from tests.publius.invoking import here

REPOSITORY = Path(publius.__file__).parents[1]
PAGE = REPOSITORY / "docs" / "run-settings.md"
VALID = jsonschema.Draft7Validator(run_schema())
LEAST: dict[str, Any] = {"constitution": "c.yaml", "prompts": "p.jsonl", "models": {"policy": "some/model"}}
SHORT: list[dict[str, Any]] = [
    {"prompts": {"path": "p.csv", "columns": {"prompt": "question"}}},
    {"models": {"policy": {"id": "a"}, "critic": "policy", "labeler": "critic", "judge": "b/c"}},
    {"gates": {"compliance": ">= 0.8", "win_rate": {"low": ">= 0.5"}, "words": False}},
    {"label": {"principles": "all", "humans": ["votes"], "rules": [{"mix": "humans", "tags": ["x"]}]}},
    {"compare": {"from": "base"}, "choose": {}, "train": ["sft", "dpo"]},
    {"choose": {"length": [0.5, 2]}, "engine": {"kind": "http", "url": "http://localhost:1"}},
]
WRONG: list[dict[str, Any]] = [
    {"bla": 1},
    {"prompts": {"path": "p.jsonl", "limits": 3}},
    {"label": {"mode": "nonsense"}},
    {"critique": {"rounds": "many"}},
    {"split": {"test": 2}},
    {"models": {"policy": {"name": "a"}}},
]


def run_files() -> list[Path]:
    recorded = REPOSITORY / "tests" / "publius" / "recorded" / "project"
    return [REPOSITORY / "publius" / "templates" / "run.yaml", *sorted(recorded.glob("runs/*/resolved.yaml"))]


@pytest.mark.parametrize("path", run_files(), ids=lambda path: path.name)
def test_run_files_fit_the_schema(path: Path):
    assert list(VALID.iter_errors(yaml.safe_load(path.read_text()))) == []


@pytest.mark.parametrize("part", SHORT, ids=lambda part: next(iter(part)))
def test_what_the_schema_accepts_is_accepted(part: dict[str, Any]):
    value = LEAST | part
    assert list(VALID.iter_errors(value)) == []
    RunConfig.model_validate(copy.deepcopy(value))


@pytest.mark.parametrize("part", WRONG, ids=lambda part: next(iter(part)))
def test_mistakes_are_found_by_the_schema(part: dict[str, Any]):
    assert list(VALID.iter_errors(LEAST | part))


def test_the_schema_describes_every_key():
    definitions = VALID.schema["$defs"]
    sections = [VALID.schema, *(d for d in definitions.values() if "properties" in d)]
    missing = [key for s in sections for key, part in s["properties"].items() if not part.get("description")]
    assert missing == []


def test_every_setting_has_a_meaning_and_accepted_values():
    settings = [setting for section in all_sections().values() for setting in section]
    assert len(settings) > 300
    assert [one.key for one in settings if not (one.meaning and one.accepted)] == []


def test_init_names_the_schema_that_it_writes(tmp_path: Path):
    init_project(tmp_path / "new")
    first = (tmp_path / "new" / "run.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=./run.schema.json"
    assert json.loads((tmp_path / "new" / "run.schema.json").read_text()) == run_schema()


def test_the_command_prints_the_schema_and_the_page(tmp_path: Path):
    assert json.loads(here("schema", "run").stdout) == run_schema()
    assert here("schema", "run", "--markdown").stdout == settings_page()
    assert here("schema", "run", "--to", tmp_path / "run.schema.json").returncode == 0
    assert json.loads((tmp_path / "run.schema.json").read_text()) == run_schema()
    assert here("schema", "--markdown").returncode == 2


def test_the_reference_page_is_current():
    assert PAGE.read_text() == settings_page(), f"run: publius schema run --markdown --to {PAGE}"
