"""The stage choose and the measures of quality, on a run with a tiny model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.notices import LOGGER
from engines.adapter import adapter_digest
from evaluation.choice import Checkpoint
from publius.config.run_file import load_run_config
from publius.models.export import export_model
from publius.runs.inputs import decisive_settings
from publius.runs.reader import RunReader
from publius.serving.chat import ChatRequest, open_chat
from publius.stages.quality.choose import _complies
from publius.stages.quality.steered import read_choice
from publius.stages.runner import RunRequest, execute, planned_stages
from tests.publius.trainable import roomy, write_trainable

CONSTITUTION = """\
name: lower
principles:
  - {id: lower, text: The reply has no capitals., check: {kind: not_regex, value: '[A-Z\\x18]'}}
"""
"""The tiny model writes the control character in every answer before it is trained, and not afterwards."""


def project(folder: Path, model: Path) -> Path:
    """Write a project whose run chooses a checkpoint; its limits let everything pass."""
    run_file = write_trainable(folder, model)
    (folder / "constitution.yaml").write_text(CONSTITUTION)
    limits = "{prompts: 4, neutral_loss: null, finished: null, sameness: null}"
    run = run_file.read_text().replace(", texts: 4", "")  # the choice is by all texts
    run_file.write_text(f"{run}choose: {limits}\n")
    return run_file


@pytest.fixture(scope="module")
def finished(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run file of a finished run of SFT and DPO."""
    folder = tmp_path_factory.mktemp("choose")
    run_file = project(folder, roomy(tiny_folder, folder / "tiny"))
    execute(RunRequest(run_file))
    return run_file


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """The run file of a copy that a test may change; the model stays where it is."""
    shutil.copytree(finished.parent, tmp_path / "project")
    return tmp_path / "project" / "run.yaml"


def run_folder(run_file: Path) -> Path:
    (folder,) = (run_file.parent / "runs").iterdir()
    return folder


def metrics_of(run_file: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((run_folder(run_file) / "eval" / "metrics.json").read_text())
    return {row["name"]: row for row in content["metrics"]}


def refuse_loading(*arguments: object, **options: object) -> None:
    raise AssertionError("a model was loaded")


def test_a_section_choose_plans_the_stage_before_the_evaluation(tiny_folder: Path, tmp_path: Path):
    run_file = project(tmp_path, tiny_folder)
    assert planned_stages(load_run_config(run_file))[-2:] == ("choose", "eval")
    assert "choose" not in planned_stages(load_run_config(run_file, ("choose=null",)))


def test_limits_are_no_part_of_a_runs_identity_and_the_number_of_prompts_is(
    tiny_folder: Path, tmp_path: Path
):
    run_file = project(tmp_path, tiny_folder)
    settings = [
        decisive_settings(load_run_config(run_file, (change,)))
        for change in ("choose.neutral_loss=0.1", "choose.finished=0.5", "choose.prompts=5", "choose=null")
    ]
    assert settings[0] == settings[1]
    assert settings[0]["choose"] == {"prompts": 4}
    assert settings[2]["choose"] == {"prompts": 5}
    assert "choose" not in settings[3]


@pytest.mark.long
def test_validation_prompts_are_held_out_from_everything_before(finished: Path):
    with RunReader(run_folder(finished)) as run:
        splits = {prompt.id: prompt.split for prompt in run.prompts}
        used = {trace.prompt.id for trace in run.traces} | {pair.prompt.id for pair in run.comparisons}
        held_out = splits.keys() - used - {name for name, split in splits.items() if split == "test"}
        answered = {answer.prompt.id for answer in run.answers}
    assert len(held_out) == 4
    assert not answered & held_out
    assert (read_choice(run_folder(finished) / "steered") or {})["prompts"] == 4


@pytest.mark.long
def test_the_checkpoints_comply_better_than_base(finished: Path):
    base, *trained = (read_choice(run_folder(finished) / "steered") or {})["checkpoints"]
    assert base["compliance"] < min(row["compliance"] for row in trained)


@pytest.mark.long
def test_steered_is_a_copy_of_the_chosen_adapter_that_peft_loads(finished: Path):
    import peft
    import transformers

    folder = run_folder(finished)
    choice = read_choice(folder / "steered")
    assert choice is not None
    assert [row["name"] for row in choice["checkpoints"]] == ["base", "sft", "dpo"]
    assert choice["chosen"] in ("sft", "dpo")
    assert adapter_digest(folder / "steered") == adapter_digest(folder / choice["chosen"])
    base = transformers.AutoModelForCausalLM.from_pretrained(finished.parent / "tiny")
    assert peft.PeftModel.from_pretrained(base, folder / "steered").active_adapter == "default"


@pytest.mark.long
def test_the_chosen_checkpoint_is_exported_and_chatted_with(finished: Path, tmp_path: Path):
    import transformers

    export_model(run_folder(finished), "steered", tmp_path / "steered")
    assert transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "steered").config.vocab_size
    with open_chat(ChatRequest(run_folder(finished))) as chat:
        assert chat.variants == ["base", "steered"]


@pytest.mark.long
def test_evaluation_has_the_steered_variant_without_a_request_more(finished: Path):
    choice, metrics = read_choice(run_folder(finished) / "steered") or {}, metrics_of(finished)
    for measure in ("compliance", "kl", "neutral_loss", "reference_loss", "base_loss", "sameness"):
        steered, chosen = (metrics[f"{name}.{measure}"] for name in ("steered", choice["chosen"]))
        assert {**steered, "name": ""} == {**chosen, "name": ""}
    manifest = json.loads((run_folder(finished) / "manifest.json").read_text())
    assert manifest["stages"]["eval"]["requests"]["reused"] == 5  # the five test prompts of one variant
    report = (run_folder(finished) / "eval" / "report.md").read_text()
    assert "| steered | the checkpoint that was chosen |" in report
    assert "| neutral loss, nats/token |" in report


@pytest.mark.long
def test_losses_of_base_are_the_same_under_the_constitution_and_rise_by_nothing(finished: Path):
    metrics = metrics_of(finished)
    assert metrics["base.neutral_loss"]["n"] == metrics["base.reference_loss"]["n"] == 40
    delta = metrics["prompted.neutral_loss.delta"]
    assert (delta["value"], delta["low"], delta["high"]) == (0, 0, 0)
    assert metrics["sft.neutral_loss.delta"]["value"] == pytest.approx(
        metrics["sft.neutral_loss"]["value"] - metrics["base.neutral_loss"]["value"]
    )
    assert metrics["sft.neutral_loss.delta"]["value"] != 0
    base, *_ = (read_choice(run_folder(finished) / "steered") or {})["checkpoints"]
    assert base["neutral_loss"] == pytest.approx(metrics["base.neutral_loss"]["value"])
    assert base["exceeds"] == []


@pytest.mark.long
def test_choosing_again_computes_and_writes_nothing(copied: Path, monkeypatch: pytest.MonkeyPatch):
    folder = run_folder(copied) / "steered"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    monkeypatch.setattr("publius.stages.quality.policies.load_policy", refuse_loading)
    (stage,) = execute(RunRequest(copied, stages=("choose",))).stages
    assert stage.counts.asked.total() == 0
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.long
def test_damaged_results_are_written_again(copied: Path):
    folder = run_folder(copied) / "steered"
    whole = adapter_digest(folder)
    (folder / "adapter_model.safetensors").write_bytes(b"torn")
    execute(RunRequest(copied, stages=("choose",)))
    assert adapter_digest(folder) == whole
    (folder / "choice.json").write_text("{")
    execute(RunRequest(copied, stages=("choose",)))
    assert read_choice(folder) is not None


@pytest.mark.long
def test_a_limit_chooses_again_in_the_same_folder_and_base_stays_with_a_warning(
    copied: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", LOGGER.name)
    monkeypatch.setattr("publius.stages.quality.policies.load_policy", refuse_loading)
    strict = ("choose.neutral_loss=0.0", "choose.length=[5, 9]", "choose.weaker=[]")
    outcome = execute(RunRequest(copied, strict, stages=("choose",)))
    folder = run_folder(copied) / "steered"
    choice = read_choice(folder)
    assert choice is not None
    assert choice["chosen"] is None
    assert [path.name for path in folder.iterdir()] == ["choice.json"]
    assert outcome.as_json()["choice"] == choice
    (warning,) = [m for m in caplog.messages if m.startswith("choose: the base model stays: ")]
    for name in ("sft", "dpo"):
        assert f"{name} is excluded: its " in warning
    assert "(choose.length)" in warning


@pytest.mark.long
def test_a_weaker_form_is_chosen_where_a_limit_excludes_the_adapter(
    copied: Path, caplog: pytest.LogCaptureFixture
):
    from safetensors.torch import load_file, save_file

    caplog.set_level("INFO", LOGGER.name)
    sft, steered = run_folder(copied) / "sft", run_folder(copied) / "steered"
    (run_folder(copied) / "dpo" / "training.json").unlink()
    tensors = load_file(sft / "adapter_model.safetensors")
    far = {key: value * 40 if "lora_B" in key else value for key, value in tensors.items()}
    save_file(far, sft / "adapter_model.safetensors", metadata={"format": "pt"})  # beyond what training did
    settings = ("choose.neutral_loss=0.05", "choose.weaker=[0.025, 0.9]")
    execute(RunRequest(copied, settings, stages=("choose",)))
    choice = read_choice(steered)
    assert choice is not None
    assert choice["chosen"] == "sft@0.025"
    assert [row["name"] for row in choice["checkpoints"]] == ["base", "sft", "sft@0.9", "sft@0.025"]
    assert [len(row["exceeds"]) for row in choice["checkpoints"]] == [0, 1, 1, 0]
    written = load_file(steered / "adapter_model.safetensors")
    for key, value in tensors.items():
        assert written[key].equal(value * 40 * 0.025 if "lora_B" in key else value)
    assert "choose: sft@0.025 is copied to steered/" in caplog.messages
    asked = [s.counts.asked.total() for s in execute(RunRequest(copied, settings, stages=("choose",))).stages]
    assert asked == [0]


@pytest.mark.long
def test_without_a_result_of_any_training_the_base_model_stays(
    copied: Path, caplog: pytest.LogCaptureFixture
):
    for method in ("sft", "dpo"):
        (run_folder(copied) / method / "training.json").unlink()
    execute(RunRequest(copied, stages=("choose",)))
    choice = read_choice(run_folder(copied) / "steered") or {}
    assert (choice["chosen"], [row["name"] for row in choice["checkpoints"]]) == (None, ["base"])
    assert "choose: the base model stays: no training of the run has a result" in caplog.messages


@pytest.mark.long
def test_a_run_that_held_out_nothing_can_choose_too(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", LOGGER.name)
    run_file = write_trainable(tmp_path, roomy(tiny_folder, tmp_path / "tiny"), train="[sft]")
    execute(RunRequest(run_file, ("eval.quality=false",)))
    assert not (run_folder(run_file) / "steered").exists()
    assert not [name for name in metrics_of(run_file) if "_loss" in name]
    execute(RunRequest(run_file, ("eval.quality=false",), stages=("choose",)))
    choice = read_choice(run_folder(run_file) / "steered")
    assert choice is not None
    assert choice["held_out"] is False
    assert any("did not hold out from training" in message for message in caplog.messages)


def test_messages_say_that_a_judges_rate_is_not_corrected():
    checkpoint = Checkpoint("dpo", 0, compliance=0.63)
    assert _complies(checkpoint, "checks") == "complies most (63 %)"
    said = "complies most (63 % of wins over base by the judge, not corrected by people)"
    assert _complies(checkpoint, "judge") == said
    assert _complies(Checkpoint("dpo", 0), "last") == "is the last one"
