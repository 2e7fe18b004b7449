"""One process on a machine with several GPUs, which are faked here."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.jobs import OPTIM, PPO, Vowels, answered, asked, job, pairs
from training.config import DPOConfig, RewardConfig
from training.job import note_idle_gpus
from training.methods import Method
from training.pairs.dpo import train_dpo
from training.pairs.reward import train_reward
from training.rl.reward_sum import WeightedReward
from training.rl.task import RLTask
from training.rl.train import train_ppo
from training.sft import train_sft

NOTE = (
    "training on 1 of 2 GPUs: publius train METHOD ... --launch all-gpus uses all, as does accelerate launch "
    "--multi_gpu --num_processes 2 -m publius ..."
)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs for all who ask how many there are; tensors stay on the CPU."""
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.nn.DataParallel, "__init__", _refuse)
    monkeypatch.setattr("training.fit.pick_device", lambda device: "cuda")
    monkeypatch.setattr("training.job.pick_device", lambda device: "cuda")
    note_idle_gpus.cache_clear()


def _refuse(wrapper: object, *_: object, **__: object) -> None:
    """Fail as packed rows do when they are split over GPUs; without a GPU, torch would not split them."""
    raise AssertionError("the model is wrapped in nn.DataParallel")


def train(method: Method, folder: Path, model: Path) -> int:
    """Run a job of one epoch; return the number of its steps."""
    settings = OPTIM.model_copy(update={"bf16": False})
    own = replace(job(method, folder, str(model), optim=settings), epochs=1.0)
    if method == "sft":
        return train_sft(answered(8), own).steps
    if method == "reward":
        return train_reward(pairs(8), own, RewardConfig())[0].steps
    if method == "dpo":
        return train_dpo(pairs(8), own, DPOConfig()).steps
    task = RLTask(asked(8), [WeightedReward(Vowels())])
    return train_ppo(task, own, PPO.model_copy(update={"steps": 2})).steps


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("method", ["sft", "reward", "dpo", "ppo"])
def test_a_process_without_a_launcher_trains_on_one_gpu_and_says_so(
    method: Method, tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, "publius"):
        assert train(method, tmp_path / "gpus", tiny_folder) == 2
    assert caplog.messages.count(NOTE) == 1


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("method", ["sft", "reward", "dpo"])
def test_the_result_is_that_of_a_machine_with_one_gpu(
    method: Method, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import torch

    train(method, tmp_path / "two", tiny_folder)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    train(method, tmp_path / "one", tiny_folder)
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]


@pytest.mark.usefixtures("two_gpus")
def test_the_note_about_idle_gpus_is_given_once_in_a_process(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, "publius"):
        train("sft", tmp_path / "sft", tiny_folder)
        train("dpo", tmp_path / "dpo", tiny_folder)
    assert caplog.messages.count(NOTE) == 1


@pytest.mark.usefixtures("two_gpus")
def test_processes_of_a_launcher_are_not_told_to_use_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with caplog.at_level(logging.INFO, "publius"):
        note_idle_gpus("cuda")
    assert caplog.messages == []


def test_on_a_cpu_nothing_is_noted(caplog: pytest.LogCaptureFixture):
    note_idle_gpus.cache_clear()
    with caplog.at_level(logging.INFO, "publius"):
        note_idle_gpus("cpu")
    assert caplog.messages == []
