"""Losses and divergences are computed once per project, and base's losses come with the divergences."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engines.config import EngineConfig, ModelConfig, ModelsConfig
from evaluation.config import BASE
from publius.runs.project import open_cache
from publius.stages.quality.losses import LossMeter
from publius.stages.quality.policies import Policies
from training.config import LoraConfig
from training.examples import EncodedAnswer
from training.policy import load_policy, save_adapter

ROWS = {"a": EncodedAnswer((5, 6, 7), (8, 9)), "b": EncodedAnswer((5,), (9, 10, 11, 12, 13))}
LORA = LoraConfig(r=2, alpha=4)


@pytest.fixture
def run(tiny_folder: Path) -> Any:
    """What the meter reads of a run."""
    models = ModelsConfig(policy=ModelConfig(id=str(tiny_folder)))
    config = SimpleNamespace(models=models, engine=EngineConfig(device="cpu"), lora=LORA, seed=0)
    return SimpleNamespace(config=config)


@pytest.fixture
def trained(tiny_folder: Path, tmp_path: Path) -> Path:
    """The folder of an adapter that changes the answers."""
    import torch

    policy: Any = load_policy(ModelConfig(id=str(tiny_folder)), LORA, "cpu", 0)
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5, generator=torch.Generator().manual_seed(1))
    folder = tmp_path / "sft"
    folder.mkdir()
    save_adapter(policy, folder, str(tiny_folder))
    return folder


class Unloaded(Policies):
    """Policies whose models may not be loaded."""

    def activate(self, name: str) -> tuple[Any, bool, Any]:
        raise AssertionError(f"{name} was loaded")


def test_a_second_evaluation_loads_no_model_and_the_losses_of_base_are_known_with_the_divergence(
    run: Any, trained: Path, tmp_path: Path
):
    folders = {BASE: None, "prompted": None, "sft": trained}
    policies = Policies(run, folders)
    longer = {key: EncodedAnswer((3, 4, *row.prompt_ids), row.answer_ids) for key, row in ROWS.items()}
    done: list[int] = []
    with open_cache(tmp_path) as cache:
        meter = LossMeter(run, policies, cache)
        found = {
            "prompted": meter.divergences("prompted", longer, ROWS, done.append),
            "sft": meter.divergences("sft", ROWS, ROWS, done.append),
        }
        assert sum(done) == 2 * len(ROWS)
        assert all(kl > 1e-4 for kls in found.values() for kl in kls.values())
        policies.close()

        again = LossMeter(run, Unloaded(run, folders), cache)
        assert again.divergences("prompted", longer, ROWS) == found["prompted"]
        assert again.divergences("sft", ROWS, ROWS) == found["sft"]
        known = again.measure(BASE, ROWS)
        with pytest.raises(AssertionError, match="sft was loaded"):
            again.measure("sft", ROWS)
    with open_cache(tmp_path / "other") as cache:
        assert known == pytest.approx(LossMeter(run, policies, cache).measure(BASE, ROWS), abs=1e-5)
    policies.close()
