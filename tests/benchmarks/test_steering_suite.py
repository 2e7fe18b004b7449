"""The constitutions and run files of the steering benchmarks are valid, and their tables add up."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from constitution.checks.kinds import Check
from constitution.loader import load_constitution
from core.text.yaml_writing import yaml_text
from publius.authoring.steering.prompts import given_prompts
from publius.config.run_file import load_run_config
from publius.stages.runner import planned_stages
from tests.publius.test_cli import REPOSITORY


@pytest.fixture(scope="module")
def suite() -> ModuleType:
    return _script("steering_suite")


@pytest.fixture(scope="module")
def recipes() -> ModuleType:
    return _script("recipes")


def _script(name: str) -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY / "benchmarks"))
        module = importlib.import_module(name)
    sys.modules.pop(name, None)
    return module


def test_each_constitution_has_one_check_of_another_kind(suite: ModuleType, tmp_path: Path):
    prompts = given_prompts(suite.write_inputs(tmp_path))
    assert (len(prompts.train), len(prompts.test)) == (96, suite.HELD_OUT)
    checks: list[Check] = []
    for name in suite.CONSTITUTIONS:
        (principle,) = load_constitution(tmp_path / f"{name}.yaml").principles
        assert principle.check is not None
        checks.append(principle.check)
    assert len({check.kind for check in checks}) == len(checks) >= 6


def test_two_constitutions_have_a_second_seed(suite: ModuleType):
    labels = [case.label for case in suite.cases(())]
    assert len(labels) == len(set(labels)) == len(suite.CONSTITUTIONS) + 2
    assert [case.label for case in suite.cases(["short"])] == ["short", "short, seed 1"]


def row(name: str, gain: float, low: float, **own: Any) -> dict[str, Any]:
    found = {
        "row": name,
        "base": 0.1,
        "prompted": 0.1,
        "steered": 0.1 + gain,
        "gain": {"value": gain, "low": low, "high": 1.0},
        "neutral_loss": 0.01,
        "sameness": 0.0,
        "finished": [0.4, 0.9],
        "words": [90.0, 30.0],
        "minutes": 12.0,
        "tokens": 30_000,
        "chosen": "dpo.2",
    }
    return found | own


def test_summary_counts_the_rows_within_each_limit(suite: ModuleType, capsys: pytest.CaptureFixture[str]):
    rows = [
        row("a", 0.6, 0.4),
        row("b", 0.2, -0.1, neutral_loss=0.06, minutes=15.5),
        row("c", 0.4, 0.1, sameness=0.06, finished=[0.4, 0.3]),
    ]
    total = suite.summary(rows)
    assert total["mean_gain"] == pytest.approx(0.4)
    names = ("intervals_above_zero", "neutral_loss_held", "sameness_held", "finished_held", "most_minutes")
    assert [total[name] for name in names] == [2, 2, 2, 2, 15.5]
    suite.print_table(rows)
    assert "mean gain +40.0%" in capsys.readouterr().out


def test_rows_are_appended_and_read_back(suite: ModuleType, tmp_path: Path):
    for number in range(2):
        suite.append_row(tmp_path / "rows.jsonl", row(f"r{number}", 0.5, 0.4))
    assert list(suite.read_rows(tmp_path / "rows.jsonl")) == ["r0", "r1"]
    assert suite.read_rows(tmp_path / "none.jsonl") == {}
    assert [suite.count_sitting(tmp_path / "p" / "x.sittings") for _ in range(2)] == [1, 2]


def test_every_recipe_is_a_valid_run_file_with_its_stages(recipes: ModuleType, tmp_path: Path):
    for recipe, stages in recipes.RECIPES.items():
        path = tmp_path / "run.yaml"
        path.write_text(yaml_text(recipes.run_file(recipe, "short", 15_000, 0)))
        config = load_run_config(path)
        if config.train:
            planned = [stage for stage in planned_stages(config) if stage in stages]
            assert planned == list(stages), recipe


def test_tokens_of_a_recipe_include_on_policy_steps_and_no_evaluation(recipes: ModuleType, tmp_path: Path):
    stage = {"records": 1, "seconds": 1.0, "left_out": {}}
    manifest = {
        "digest": "d",
        "identity": {},
        "stages": {
            "sample": {**stage, "requests": {"completion_tokens": 1000}},
            "eval": {**stage, "requests": {"completion_tokens": 5000}},
        },
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "ppo").mkdir()
    steps = [{"completions/mean_length": 100.0}, {"completions/mean_length": 50.0}]
    (tmp_path / "ppo" / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    assert recipes.generated(tmp_path) == 1000 + 16 * 150
