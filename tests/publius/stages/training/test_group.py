"""RLOO and GRPO as stages of a run: which rewards they take, where they start, and what they leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import ConfigError, RunStateError
from publius.config.run_file import load_run_config
from publius.models.export import export_model
from publius.runs.manifest import read_manifest
from publius.stages.runner import RunRequest, execute, planned_stages
from tests.publius.invoking import here
from tests.publius.trainable import roomy, write_trainable

METHODS = ("rloo", "grpo")


@pytest.fixture(scope="module")
def model(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roomy(tiny_folder, tmp_path_factory.mktemp("roomy") / "tiny")


def settings(*methods: str) -> tuple[str, ...]:
    """Return what makes trainings by these methods short."""
    values = ("steps=2", "rollouts=8", "num_generations=4", "max_new_tokens=12", "learning_rate=0.02")
    return tuple(f"{method}.{value}" for method in methods for value in (*values, "stop_kl=null"))


def rows_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_both_alone_need_neither_answers_nor_labels_and_are_evaluated(model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[rloo, grpo]")
    assert planned_stages(load_run_config(run_file)) == ("rloo", "grpo", "eval")
    outcome = execute(RunRequest(run_file, settings(*METHODS)))
    measured = json.loads((outcome.folder / "eval" / "metrics.json").read_text())
    for method in METHODS:
        first, second = rows_of(outcome.folder / method)
        assert abs(first["objective/kl"]) < 1e-5
        assert "rewards/checks/mean" in second
        card = (outcome.folder / method / "README.md").read_text()
        assert f"by comparing answers to the same prompt ({method.upper()})" in card
        assert "1 x checks" in card
        assert method in json.dumps(measured)
    assert read_manifest(outcome.folder)["stages"].keys() == {"prompts", *METHODS, "eval"}
    assert (export_model(outcome.folder, "grpo", tmp_path / "whole").folder / "model.safetensors").exists()


def test_grpo_starts_from_sft_and_takes_a_function_of_the_users(model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[sft, grpo]", source="revisions")
    own = tmp_path / "own.py"
    own.write_text(
        "def short(prompts, completions):\n    return [-len(c[-1]['content']) for c in completions]\n"
    )
    given = (
        *settings("grpo"),
        "grpo.rewards={checks: 2.0, 'own.py:short': 0.01}",  # beside the run file
        "optim.epochs=1",
    )
    execute(RunRequest(run_file, given, ("critique", "sft")))
    outcome = execute(RunRequest(run_file, given, ("grpo",)))
    row = rows_of(outcome.folder / "grpo")[0]
    assert row["objective/kl"] == pytest.approx(0.0, abs=1e-5)
    expected = 2 * row["rewards/checks/mean"] + 0.01 * row["rewards/short/mean"]
    assert row["objective/scores"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "rloo.rewards={nothing: 1.0}",
            "rloo.rewards: unknown reward 'nothing'; accepted: reward, checks, labeler",
        ),
        ("rloo.gold=checks", "rloo.gold: checks is a training reward"),
        ("rloo.rewards={labeler: 1.0}", "rloo.rewards: the labeler has no principle to judge by"),
        ("rloo.rewards={'/none.py:f': 1.0}", "rloo.rewards: Python file not found: '/none.py'"),
    ],
)
def test_rewards_that_are_not_there_are_one_clear_line(given: str, message: str, model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[rloo]")
    with pytest.raises(ConfigError) as caught:
        execute(RunRequest(run_file, (*settings("rloo"), given), ("rloo",)))
    assert message in str(caught.value)


def test_what_is_not_trained_yet_is_told_with_the_command(model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[sft, dpo, rloo]")
    with pytest.raises(RunStateError, match=r"rloo starts from the SFT model.*publius train sft RUN.yaml"):
        execute(RunRequest(run_file, settings("rloo"), ("rloo",)))
    with pytest.raises(RunStateError, match=r"rloo starts from the DPO model.*publius train dpo RUN.yaml"):
        execute(RunRequest(run_file, (*settings("rloo"), "rloo.init=dpo"), ("rloo",)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("grpo.rollouts=100", "num_generations (8) must divide rollouts (100)"),
        ("grpo.num_generations=1", "grpo.num_generations"),
        ("grpo.loss_type=dapa", "accepted: one of: dapo, dr_grpo, grpo, bnpo"),
        ("grpo.init=dpo", "grpo.init is dpo, but train does not list dpo"),
        ("grpo.init=sft", "grpo.init is sft, but train does not list sft"),
        ("rloo.critic=shared", "rloo.critic"),
    ],
)
def test_settings_that_lead_nowhere_are_refused(given: str, message: str, model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[grpo]")
    with pytest.raises(ConfigError) as caught:
        load_run_config(run_file, (given,))
    assert message in str(caught.value)


def test_the_command_says_how_it_went_in_json(model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[rloo]")
    options = [word for value in settings("rloo") for word in ("--set", value)]
    done = here("train", "rloo", run_file, *options, "--json")
    assert done.returncode == 0, done.stderr
    assert "rloo" in json.loads(done.stdout)["stages"]
    assert "warning" not in done.stderr.lower()
    assert here("train", "grpo", "--data", "x.jsonl").returncode == 2
