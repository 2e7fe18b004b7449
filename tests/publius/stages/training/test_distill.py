"""Distillation as a stage of a run: which prompts it takes, what the teacher sees, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError, RunStateError
from engines.config import ModelConfig
from publius.config.run_file import load_run_config
from publius.models.export import export_model
from publius.runs.manifest import read_manifest
from publius.stages.runner import RunRequest, execute, planned_stages
from publius.stages.training import distill
from tests.publius.invoking import here
from tests.publius.trainable import roomy, write_trainable
from training.policy import load_encoder

SHORT = (
    "distill.steps=2",
    "distill.rollouts=4",
    "distill.max_new_tokens=12",
    "distill.learning_rate=0.02",
)
SCOPED = """\
name: scoped
principles:
  - id: lower
    text: The reply has no capitals.
    check: {kind: not_regex, value: "[A-Z]"}
    applies_to: {pattern: "[1-9]"}
    examples:
      - {prompt: "Is it one?", good: "yes, it is.", bad: "YES.", use: few_shot}
      - {prompt: "Is it two?", good: "no, it is not.", bad: "NO.", use: test}
"""


@pytest.fixture(scope="module")
def model(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return roomy(tiny_folder, tmp_path_factory.mktemp("roomy") / "tiny")


def test_alone_it_needs_only_prompts_and_is_evaluated(model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[distill]")
    assert planned_stages(load_run_config(run_file)) == ("distill", "eval")
    outcome = execute(RunRequest(run_file, SHORT))
    first, second = ((outcome.folder / "distill" / "metrics.jsonl").read_text()).splitlines()
    assert json.loads(first)["loss/policy_avg"] > 0
    assert "completions/mean_length" in json.loads(second)
    card = (outcome.folder / "distill" / "README.md").read_text()
    assert "(on-policy distillation)" in card
    assert "prompts of the run, answered by the policy with the constitution in its prompt" in card
    measured = json.loads((outcome.folder / "eval" / "metrics.json").read_text())
    assert "distill" in json.dumps(measured)
    assert read_manifest(outcome.folder)["stages"].keys() == {"prompts", "distill", "eval"}
    assert (export_model(outcome.folder, "distill", tmp_path / "whole").folder / "model.safetensors").exists()


@pytest.mark.parametrize("examples", [False, True])
def test_teacher_sees_the_constitution_and_prompts_without_a_principle_are_counted(
    examples: bool, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    given: list[Any] = []
    once = distill.train_distill

    def noted(rows: Any, *rest: Any) -> Any:
        given.extend(rows)
        return once(rows, *rest)

    monkeypatch.setattr(distill, "train_distill", noted)
    run_file = write_trainable(tmp_path, model, train="[distill]")
    (tmp_path / "constitution.yaml").write_text(SCOPED)
    settings = (*SHORT, f"distill.examples={str(examples).lower()}")
    outcome = execute(RunRequest(run_file, settings, ("distill",)))
    (result,) = outcome.stages
    assert result.records == 19  # 20 prompts of the splits train and preference; number 0 is out of scope
    (reason,) = result.excluded
    assert result.excluded[reason] == 1
    assert "no principle applies" in reason
    encoder = load_encoder(ModelConfig(id=str(model)))
    shown = [encoder.tokenizer.decode(encoder.encode(row.teacher).ids) for row in given]
    taught = [text for text in shown if "The reply has no capitals." in text]
    assert len(taught) == 19
    assert all(("yes, it is." in text) == examples for text in taught)
    assert not any("no, it is not." in text or "YES." in text for text in shown)


def test_starts_from_sft_and_names_what_is_not_trained_yet(model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[sft, distill]")
    with pytest.raises(RunStateError, match=r"distill starts from the SFT model.*publius train sft RUN.yaml"):
        execute(RunRequest(run_file, SHORT, ("distill",)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("distill.init=dpo", "distill.init is dpo, but train does not list dpo"),
        ("distill.init=sft", "distill.init is sft, but train does not list sft"),
        ("distill.beta=1.5", "distill.beta"),
        ("distill.samples=7", "samples (7) must divide rollouts (64)"),
        ("engine.kind=scripted", "the scripted engine has no weights to train"),
    ],
)
def test_settings_that_lead_nowhere_are_refused(given: str, message: str, model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[distill]")
    with pytest.raises(ConfigError) as caught:
        load_run_config(run_file, (given,))
    assert message in str(caught.value)


def test_the_section_does_not_rename_runs_of_older_versions(model: Path, tmp_path: Path):
    from publius.runs.inputs import decisive_settings, evaluation_settings

    run_file = write_trainable(tmp_path, model)
    settings = decisive_settings(load_run_config(run_file))
    assert "distill" not in settings
    assert settings["eval"]["models"] == ["base", "prompted", "sft", "dpo", "ppo", "rloo", "grpo"]
    edited = load_run_config(run_file, ("distill.beta=0.5", "eval.models=[base, distill]"))
    changed = decisive_settings(edited)
    assert changed["distill"]["beta"] == 0.5
    assert changed["eval"] == settings["eval"]  # the evaluation has no part in a run's identity
    assert evaluation_settings(edited)["eval"]["models"] == ["base", "distill"]


@pytest.mark.long
def test_the_command_reports_in_json(model: Path, tmp_path: Path):
    run_file = write_trainable(tmp_path, model, train="[distill]")
    options = [word for value in SHORT for word in ("--set", value)]
    done = here("train", "distill", run_file, *options, "--json")
    assert done.returncode == 0, done.stderr
    assert "distill" in json.loads(done.stdout)["stages"]
