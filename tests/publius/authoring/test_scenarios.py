"""`publius audit scenarios`: what it writes, what it keeps, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from constitution.loader import load_constitution
from core.digests import digest
from core.errors import ConfigError
from engines.config import EngineConfig, ModelConfig
from engines.protocols import GenerationRequest
from engines.scripted import ScriptedEngine
from prompts.scenarios.file import read_scenarios
from publius.authoring.scenarios import ScenariosRequest, ScenariosResult, write_scenarios
from tests.publius.invoking import here

RULES = "name: t\nprinciples:\n  - {id: kind, text: The reply is kind.}\n"
LONGER = RULES + "  - {id: short, text: The reply is short.}\n"


def written(folder: Path, rules: str = LONGER, answerer: Any = None, **fields: Any) -> ScenariosResult:
    (folder / "c.yaml").write_text(rules)
    request = ScenariosRequest(str(folder / "c.yaml"), folder / "s.yaml", **fields)

    def make(model: ModelConfig, engine: EngineConfig) -> ScriptedEngine:
        return ScriptedEngine(answerer=answerer, model=model.id)

    return write_scenarios(request, make)


def question(request: GenerationRequest) -> str:
    words = digest(*(turn.text for turn in request.turns), request.seed)
    return f"Which {words[:8]} has {words[8:16]} near {words[16:24]}?"


def test_every_tenet_gets_each_kind_and_the_file_is_read_back(tmp_path: Path):
    result = written(tmp_path, per_tenet=8)
    found = read_scenarios(tmp_path / "s.yaml", load_constitution(str(tmp_path / "c.yaml")))
    assert result.as_json()["tenets"]["kind"] == {
        "tempting": 3,
        "borderline": 2,
        "benign": 2,
        "multi_turn": 1,
    }
    assert found.scenarios == result.added
    assert {one.author for one in found.scenarios} == {"template"}
    assert not result.warnings


def test_a_second_call_adds_only_for_new_tenets_and_keeps_what_a_user_wrote(tmp_path: Path):
    written(tmp_path, rules=RULES, per_tenet=4)
    path = tmp_path / "s.yaml"
    edited = path.read_text() + "  # mine\n  - {tenet: kind, kind: benign, user: Who are you?}\n"
    path.write_text(edited)
    result = written(tmp_path, per_tenet=4)
    assert {one.tenet for one in result.added} == {"short"}
    assert result.kept == 5
    assert edited.split("scenarios:")[1].strip() in path.read_text()
    assert not written(tmp_path, per_tenet=4).added


def test_a_writer_writes_and_templates_fill_up(tmp_path: Path):
    result = written(tmp_path, rules=RULES, answerer=question, per_tenet=8, model="writer")
    authors = result.as_json()["authors"]
    assert authors["writer"] == 7
    assert authors["writer; later turns: template"] == 1
    (many,) = (one for one in result.added if one.kind == "multi_turn")
    assert len(many.user) > 2
    assert many.goal is not None


def test_a_writer_that_repeats_itself_is_counted_and_replaced(tmp_path: Path):
    def same(request: GenerationRequest) -> str:
        return "What is the time?"

    result = written(tmp_path, rules=RULES, answerer=same, per_tenet=8, model="writer")
    assert len(result.added) == 8
    assert result.as_json()["authors"]["template"] == 7
    assert sum(result.rejected.values()) > 0
    assert any("from templates" in warning for warning in result.warnings)


def test_options_are_checked(tmp_path: Path):
    with pytest.raises(ConfigError, match="--per-tenet"):
        written(tmp_path, per_tenet=0)
    with pytest.raises(ConfigError, match="unknown principle"):
        written(tmp_path, only=("kidn",))


def test_a_mistake_in_the_file_is_one_line_and_exit_code_two(tmp_path: Path):
    (tmp_path / "c.yaml").write_text(RULES)
    (tmp_path / "s.yaml").write_text(
        "constitution: t\nscenarios:\n  - {tenet: knid, kind: benign, user: Hi}\n"
    )
    ended = here("audit", "scenarios", "--constitution", tmp_path / "c.yaml", "--to", tmp_path / "s.yaml")
    assert ended.returncode == 2
    assert "s.yaml:3:" in ended.stderr
    assert "knid" in ended.stderr
