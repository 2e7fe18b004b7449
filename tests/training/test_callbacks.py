"""Figures that no training recovers from stop it in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import EngineError
from tests.training.jobs import BY_EXAMPLES, OPTIM, answered, job, pairs
from training.checkpoints import TrainingFolder
from training.config import DPOConfig, OptimConfig, RewardConfig
from training.job import TrainingJob
from training.methods import Method
from training.pairs.dpo import train_dpo
from training.pairs.reward import train_reward
from training.sft import train_sft


def run(own: TrainingJob) -> None:
    if own.method == "sft":
        train_sft(answered(), own)
    elif own.method == "reward":
        train_reward(pairs(), own, RewardConfig())
    else:
        train_dpo(pairs(), own, DPOConfig())


@pytest.mark.parametrize("method", BY_EXAMPLES)
def test_a_gradient_above_the_limit_stops_the_training_in_one_line(
    tiny_folder: Path, tmp_path: Path, method: Method
):
    optim = OPTIM.model_copy(update={"stop_grad_norm": 0.001})
    own = job(method, tmp_path / method, str(tiny_folder), optim=optim)
    with pytest.raises(EngineError, match=r"grad_norm is [0-9.]+ at step 1, above") as caught:
        run(own)
    assert "optim.stop_grad_norm (0.001)" in str(caught.value)
    assert f"{method}.learning_rate" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / method / "training.json").exists()
    assert not (tmp_path / method / "metrics.jsonl").exists()


def test_a_gradient_that_grows_later_leaves_the_checkpoint_before_it(tiny_folder: Path, tmp_path: Path):
    # One pair of two steps is a thousand times as heavy, and comes second.
    optim = OPTIM.model_copy(update={"batch_size": 1, "checkpoint_every": 1, "stop_grad_norm": 20.0})
    one, two = pairs(2)
    for number, rows in enumerate([[one, replace(two, weight=1000.0)], [replace(one, weight=1000.0), two]]):
        folder = tmp_path / f"{number}"
        own = replace(job("reward", folder, str(tiny_folder), optim=optim), epochs=1.0)
        with pytest.raises(EngineError, match=r"at step [12], above optim\.stop_grad_norm \(20\)") as caught:
            train_reward(rows, own, RewardConfig())
        done = int(str(caught.value).partition("at step ")[2][0]) - 1
        newest = TrainingFolder(folder).newest()
        if done == 1:
            assert newest is not None
            assert newest.name == "checkpoint-1"
            (line,) = (folder / "metrics.jsonl").read_text().splitlines()
            assert json.loads(line)["grad_norm"] < 20
            return
    pytest.fail("whichever pair was heavy, it came first")


def test_without_a_limit_a_large_gradient_is_clipped_and_training_goes_on(tiny_folder: Path, tmp_path: Path):
    heavy = [replace(pair, weight=1e6) for pair in pairs(4)]
    free = OPTIM.model_copy(update={"stop_grad_norm": None})
    own = job("reward", tmp_path / "free", str(tiny_folder), optim=free)
    assert train_reward(heavy, own, RewardConfig())[0].steps == 2
    bound = replace(own, folder=tmp_path / "bound", optim=OPTIM)
    with pytest.raises(EngineError, match=r"optim\.stop_grad_norm \(10000\)"):
        train_reward(heavy, bound, RewardConfig())


def test_a_limit_must_be_above_zero():
    with pytest.raises(ValidationError, match="greater than 0"):
        OptimConfig(stop_grad_norm=0.0)
