"""How often a run loads a model, and that no two models are loaded at once."""

from __future__ import annotations

import gc
import json
import logging
import weakref
from pathlib import Path
from typing import Any

import pytest

import engines.hf.loading
import training.policy
from publius.stages.outcome import RunOutcome
from publius.stages.runner import RunRequest, execute
from tests.engines.vllm.counted_hosts import Hosts, count_hosts
from tests.publius.trainable import CONSTITUTION, SPLITS, roomy, write_trainable

SETTINGS = ("engine.kind=vllm", "label.principles=1", "optim.epochs=1")
"""The AI labeler is asked too."""


class Loads:
    """Counts the models that this process loads for training and for the KL divergence."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, hosts: Hosts) -> None:
        self.trained: list[weakref.ref[Any]] = []
        self.beside: list[str] = []
        """Each load that happened while another model was loaded."""
        load = engines.hf.loading.load_model

        def watched(*arguments: Any, **options: Any) -> Any:
            if hosts.running:
                self.beside.append("trainer beside vLLM")
            model = load(*arguments, **options)
            self.trained.append(weakref.ref(model))
            return model

        def on_load() -> None:
            gc.collect()
            if any(model() is not None for model in self.trained):
                self.beside.append("vLLM beside a trainer")
            if hosts.running:
                self.beside.append("vLLM beside vLLM")

        monkeypatch.setattr(training.policy, "load_model", watched)
        hosts.on_load = on_load


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Hosts:
    return count_hosts(monkeypatch)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, hosts: Hosts) -> Loads:
    return Loads(monkeypatch, hosts)


@pytest.fixture(scope="module")
def model(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, with the answers of a labeler as tokens."""
    folder = roomy(tiny_folder, tmp_path_factory.mktemp("roomy") / "tiny")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    bpe = content["model"]
    for letter in "AB":
        bpe["vocab"]["Ġ" + letter] = len(bpe["vocab"])
        bpe["merges"].append(["Ġ", letter])
    path.write_text(json.dumps(content))
    return folder


def run(
    folder: Path, model: Path, source: str, *settings: str, splits: tuple[str, ...] = SPLITS[:10]
) -> RunOutcome:
    run_file = write_trainable(folder, model, source, splits=splits)
    (folder / "constitution.yaml").write_text(CONSTITUTION + "  - {id: kind, text: The reply is kind.}\n")
    return execute(RunRequest(run_file, overrides=(*SETTINGS, *settings)))


def test_sft_dpo_and_eval_load_vllm_twice(tmp_path: Path, model: Path, hosts: Hosts, loads: Loads):
    outcome = run(tmp_path, model, "revisions")
    asked = {stage.stage: stage.counts.asked.total() for stage in outcome.stages}
    assert all(asked[stage] > 0 for stage in ("critique", "label", "eval"))
    assert len(hosts.loads) == 2
    assert "enable_lora" not in hosts.loads[0].arguments
    assert hosts.loads[1].arguments["enable_lora"] is True
    variants = [folder and Path(folder).name for number, folder in hosts.asked if number == 1]
    assert list(dict.fromkeys(variants)) == [None, "sft", "dpo"]
    assert len(loads.trained) == 3  # sft, dpo, and one for the KL divergence of all variants
    assert loads.beside == []
    assert hosts.running == []


@pytest.mark.long
def test_comparing_samples_of_the_sft_model_costs_one_load_more(
    tmp_path: Path, model: Path, hosts: Hosts, loads: Loads
):
    run(tmp_path, model, "sft")
    assert len(hosts.loads) == 3
    second = [folder and Path(folder).name for number, folder in hosts.asked if number == 1]
    assert list(dict.fromkeys(second)) == ["sft", None]  # samples, then labels by the base model
    assert loads.beside == []


@pytest.mark.long
@pytest.mark.parametrize(("critic", "loads_before"), [("another", 3), ("template", 1)])
def test_a_critic_of_its_own_is_loaded_between_drafts_and_labels(
    tmp_path: Path, model: Path, hosts: Hosts, loads: Loads, critic: str, loads_before: int
):
    own = {
        "another": f"models.critic={{id: {roomy(model, tmp_path / 'critic')}}}",
        "template": f"models.critic={{id: {model}, chat_template_kwargs: {{enable_thinking: true}}}}",
    }
    run(tmp_path / "project", model, "revisions", own[critic], "train=[]")
    assert len(hosts.loads) == loads_before
    assert loads.beside == []


@pytest.mark.long
def test_the_transformers_engine_loads_the_base_once_before_the_training_and_each_variant_once_after_it(
    tmp_path: Path, model: Path, loads: Loads, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    outcome = run(tmp_path, model, "revisions", "engine.kind=transformers", splits=SPLITS)
    asked = {stage.stage: stage.counts.asked.total() for stage in outcome.stages}
    assert all(asked[stage] > 0 for stage in ("critique", "label", "eval"))
    noted = [message for message in caplog.messages if message.startswith("loading ")]
    assert noted == [f"loading {name} (transformers)" for name in ("tiny", "tiny", "tiny+sft", "tiny+dpo")]
    assert len(loads.trained) == 3
