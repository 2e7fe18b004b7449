"""docs/constitution-format.md is complete, and Publius says of its examples what it says there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import TypeAdapter

from constitution import fields, passages, schema, sources
from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Check
from constitution.file_schema import ConstitutionFile
from constitution.lint.codes import CODES
from constitution.loader import load_constitution, preset_names
from constitution.schema import Example, Principle, Scope
from core.errors import ConfigError
from core.text import yaml_file as yamlfile
from engines.protocols import ChoiceRequest
from engines.scripted import ScriptedEngine
from publius.authoring.check import CheckRequest, JudgedRequest, check_constitution
from tests.docs.blocks import Block, blocks_of
from tests.publius.test_cli import REPOSITORY

PAGE = REPOSITORY / "docs" / "constitution-format.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = list(blocks_of(PAGE))
YAML_BLOCKS = [block for block in BLOCKS if block.language == "yaml"]
LEFT_OUT = "[...]"
KINDS: list[Any] = list(get_args(get_args(Check)[0]))
SECTIONS = {"The file": ConstitutionFile, "Principles": Principle, "Scopes": Scope, "Examples": Example}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all the files that the page names, as the current one."""
    for block in BLOCKS:
        if block.name:
            (tmp_path / block.name).write_text(block.text, encoding="utf-8")
    prompts = next(block for block in BLOCKS if block.language == "jsonl")
    (tmp_path / "prompts.jsonl").write_text(prompts.text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows_of(heading: str) -> Iterator[list[str]]:
    """Yield the cells of the first table below a heading of the third level."""
    below = TEXT.split(f"\n### {heading}\n", 1)[1]
    table = re.search(r"^\|.*?(?=\n\n)", below, re.MULTILINE | re.DOTALL)
    assert table, heading
    for row in table[0].splitlines()[2:]:
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|"))]


def keys_in(value: object) -> Iterator[str]:
    """Yield every key of a value, at any depth."""
    if isinstance(value, dict):
        yield from value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys_in(part)


def sees_conflicts(*_: object) -> ScriptedEngine:
    """Return a labeler that chooses, in either order, the letter that says that two principles conflict."""

    def choose(request: ChoiceRequest) -> tuple[float, ...]:
        conflict_first = "A: They conflict" in request.turns[-1].text
        return (-0.1, -2.4) if conflict_first else (-2.4, -0.1)

    return ScriptedEngine(chooser=choose)


def said_of(block: Block) -> list[str]:
    """Return what Publius says of a block, less notes where the page does not speak of any."""
    path = Path(block.name or "rules.yaml")
    path.write_text(re.sub(r"\[(\d+) words\]", lambda m: "word " * int(m[1]), block.text), encoding="utf-8")
    prompts = Path("prompts.jsonl") if block.says("with prompts") else None
    judged = JudgedRequest("scripted", 1) if block.says("judged by a model that sees a conflict") else None
    try:
        result = check_constitution(CheckRequest(str(path), prompts, None, judged), sees_conflicts)
    except ConfigError as error:
        return [str(problem).removeprefix(f"{path}:") for problem in error.problems]
    told = [f for f in result.report.findings if block.expected or f.severity != "note"]
    return [str(finding).removeprefix(f"{path}:") for finding in told]


@pytest.mark.parametrize("block", YAML_BLOCKS, ids=lambda block: f"line-{block.line}")
def test_publius_says_of_each_block_what_the_page_says(block: Block, folder: Path):
    said = said_of(block)
    assert len(said) == len(block.expected), said
    for line, expected in zip(said, block.expected, strict=True):
        assert re.fullmatch(re.escape(expected).replace(re.escape(LEFT_OUT), ".*"), line), line


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_field_has_its_row_and_no_row_is_of_another(heading: str):
    fields = SECTIONS[heading].model_fields
    documented = [row[0].strip("`") for row in rows_of(heading)]
    assert sorted(documented) == sorted(field.alias or name for name, field in fields.items())


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_default_that_the_page_gives_in_code_is_that_of_the_field(heading: str):
    by_key = {field.alias or name: field for name, field in SECTIONS[heading].model_fields.items()}
    for key, _, default, _ in rows_of(heading):
        field = by_key[key.strip("`")]
        if default.startswith("`"):
            assert yaml.safe_load(default.strip("`")) == field.default
        assert field.is_required() <= default.startswith(("required", "made")), key


def test_every_field_stands_in_a_block_that_is_run():
    used = {key for block in YAML_BLOCKS for key in keys_in(yamlfile.parse_yaml(block.text, PAGE).value)}
    for model in SECTIONS.values():
        assert {field.alias or name for name, field in model.model_fields.items()} <= used


@pytest.mark.parametrize("row", list(rows_of("Machine checks")), ids=lambda row: row[0].split(",")[0])
def test_each_check_passes_fails_and_scores_as_its_row_says(
    row: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PUBLIUS_ALLOW_CODE", "1")
    monkeypatch.syspath_prepend(folder)
    check, passes, fails, score = (cell.strip("`").replace("` ⏎ `", "\n") for cell in row)
    parsed: Any = TypeAdapter(Check).validate_python(yaml.safe_load(check))
    assert evaluate(parsed, passes) == (True, 1.0)
    passed, found = evaluate(parsed, fails)
    assert not passed
    assert round(found, 2) == float(score)


def test_every_kind_of_check_has_its_row():
    kinds = [yaml.safe_load(row[0].strip("`"))["kind"] for row in rows_of("Machine checks")]
    assert kinds == [get_args(kind.model_fields["kind"].annotation)[0] for kind in KINDS]


def test_every_lint_code_has_its_name_its_severity_and_a_block_that_finds_it():
    told = re.findall(r"^\*\*(L\d{3}) ([\w-]+)\*\*, (\w+)\.", TEXT, re.MULTILINE)
    assert told == [(code.code, code.name, code.severity) for code in CODES.values()]
    for code in CODES:
        text = TEXT.split(f"\n**{code} ", 1)[1].split("\n**L", 1)[0]
        assert f" {code} {CODES[code].severity}: " in text, code


def test_the_table_of_presets_names_each_with_its_number_of_principles():
    rows = {row[0].strip("`"): int(row[2]) for row in rows_of("Presets")}
    assert rows == {name: len(load_constitution(name).principles) for name in preset_names()}


def test_the_limits_are_those_that_hold():
    limits = [
        f"{yamlfile.MAX_BYTES:,} bytes, {yamlfile.MAX_VALUES:,} values, {yamlfile.MAX_DEPTH} levels",
        f"{yamlfile.MAX_CHARACTERS:,} characters",
        f"{passages.MAX_DOCUMENT_BYTES:,} bytes, {passages.MAX_LINES:,} lines",
        f"{sources.MAX_LEVELS}",
        f"{schema.ID_MAX_LENGTH} characters",
        f"{fields.PATTERN_LENGTH:,} characters",
        f"{fields.SEARCHED_CHARACTERS:,} characters",
        f"{yamlfile.MAX_PROBLEMS}",
    ]
    below = TEXT.split("\n## Limits\n", 1)[1]
    assert re.findall(r"^\| .+ \| (\d.*) \|$", below, re.MULTILINE) == limits


def test_links_lead_to_headings_and_pages():
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", TEXT, flags=re.M | re.S), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
    assert all((PAGE.parent / page).is_file() for page in re.findall(r"\]\((\w[^)#]*)\)", TEXT))


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_constitutions_of_the_introductory_pages_are_right(page: str, folder: Path):
    (folder / "reasons.md").write_text(
        "## Refunds\n\nOnly those who know the case grant one.\n", encoding="utf-8"
    )
    blocks = [block for block in blocks_of(REPOSITORY / page) if block.language == "yaml"]
    assert blocks
    assert [said_of(block) for block in blocks] == [[] for _ in blocks]


def test_the_readme_counts_the_kinds_of_checks():
    assert f"one of {len(KINDS)} kinds" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
