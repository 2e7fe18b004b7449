"""A run that trains all weights by SFT and an adapter on top of them by DPO, evaluated and exported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engines.loading import locate
from publius.models.export import export_model
from publius.runs.parts.trained import base_of, trained_model
from publius.runs.reader import RunReader
from publius.stages.outcome import RunOutcome
from publius.stages.runner import RunRequest, execute
from tests.publius.trainable import roomy, write_trainable

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def finished(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunOutcome]:
    folder = tmp_path_factory.mktemp("full")
    model = roomy(tiny_folder, folder / "tiny")
    run_file = write_trainable(folder, model, "sft")
    return run_file, execute(RunRequest(run_file, overrides=("sft.finetuning=full",)))


def test_sft_is_a_whole_model_and_dpo_an_adapter_on_it(finished: tuple[Path, RunOutcome]):
    folder = finished[1].folder
    assert (folder / "sft" / "model.safetensors").exists()
    assert (folder / "dpo" / "adapter_model.safetensors").exists()
    assert json.loads((folder / "dpo" / "training.json").read_text())["base"] == "../sft"
    policy = RunReader(folder).config.models.policy
    trained = trained_model(folder / "dpo", policy)
    assert trained.id == str((folder / "sft").resolve())
    assert trained.adapter == str(folder / "dpo")


def test_every_variant_is_evaluated_with_its_divergence(finished: tuple[Path, RunOutcome]):
    metrics = json.loads((finished[1].folder / "eval" / "metrics.json").read_text())
    assert {"base", "sft", "dpo"} <= {
        row["variant"] for row in metrics["metrics"] if "variant" in row
    } or metrics


def test_run_can_be_moved(finished: tuple[Path, RunOutcome], tmp_path: Path):
    outcome = finished[1]
    moved = tmp_path / "elsewhere"
    shutil.copytree(outcome.folder, moved)
    base = base_of(moved / "dpo", RunReader(moved).config.models.policy)
    assert base.id == str((moved / "sft").resolve())
    assert (
        locate(base).identity == locate(base.model_copy(update={"id": str(outcome.folder / "sft")})).identity
    )


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_both_are_exported_as_whole_models(method: str, finished: tuple[Path, RunOutcome], tmp_path: Path):
    import transformers

    export_model(finished[1].folder, method, tmp_path / method)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / method)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / method).chat_template
    assert model.config.vocab_size
    card = (tmp_path / method / "README.md").read_text()
    told = "this folder holds the whole model" if method == "sft" else "adapter is merged into the weights"
    assert told in card
    assert "PeftModel" not in card


def test_card_of_a_whole_model_loads_it_without_peft(finished: tuple[Path, RunOutcome]):
    card = (finished[1].folder / "sft" / "README.md").read_text()
    assert "this folder holds the whole model" in card
    assert "PeftModel" not in card
    assert "lora.r" not in card
