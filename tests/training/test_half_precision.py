"""float16 in place of bfloat16, as on a GPU without it (T4, V100); here on a CPU."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.errors import ConfigError
from engines.config import ModelConfig
from tests.training.jobs import OPTIM, PPO, RLOO, Vowels, answered, asked, job, pairs
from training.config import DPOConfig, LoraConfig, RewardConfig
from training.fit import arguments_of
from training.methods import Method
from training.pairs.dpo import train_dpo
from training.pairs.reward import train_reward
from training.policy import keep_adapter_wide, load_reward_policy
from training.rl.reward_sum import WeightedReward
from training.rl.task import RLTask
from training.rl.train import train_ppo, train_rloo
from training.sft import train_sft


@pytest.fixture
def no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that is treated as a GPU without bfloat16."""
    for module in ("training.job", "training.packed"):
        monkeypatch.setattr(f"{module}.half_dtype", lambda device: "float16")


def first_row(method: Method, to: Path, model: Path, dtype: str) -> dict[str, float]:
    settings = OPTIM.model_copy(update={"bf16": dtype == "float16"})
    own = job(method, to, str(model), optim=settings)
    own = replace(own, epochs=1.0, policy=ModelConfig.model_validate({"id": str(model), "dtype": dtype}))
    task = RLTask(asked(8), [WeightedReward(Vowels())])
    if method == "reward":
        train_reward(pairs(4), own, RewardConfig())
    elif method == "dpo":
        train_dpo(pairs(4), own, DPOConfig())
    elif method == "ppo":
        train_ppo(task, own, PPO.model_copy(update={"steps": 3}))
    else:
        train_rloo(task, own, RLOO.model_copy(update={"steps": 3}))
    rows = [json.loads(line) for line in (to / "metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(value) for row in rows for key, value in row.items() if "loss" in key)
    return {key: value for key, value in rows[0].items() if isinstance(value, int | float)}


@pytest.mark.usefixtures("no_bfloat16")
@pytest.mark.parametrize(
    "method", ["dpo", *(pytest.param(name, marks=pytest.mark.long) for name in ("reward", "ppo", "rloo"))]
)
def test_method_trains_with_a_loss_scale(method: Method, lively: Path, tmp_path: Path):
    narrow = first_row(method, tmp_path / "half", lively, "float16")
    if method in ("reward", "dpo"):  # the others draw other answers in another precision
        wide = first_row(method, tmp_path / "float32", lively, "float32")
        assert narrow["loss"] == pytest.approx(wide["loss"], rel=0.02)
        return
    assert narrow["policy/grad_norm"] > 0  # no step was skipped for an overflow
    assert abs(narrow["objective/kl"]) < 1e-3


@pytest.mark.usefixtures("no_bfloat16")
def test_trainers_are_told_float16(lively: Path, tmp_path: Path):
    own = job("dpo", tmp_path, str(lively), optim=OPTIM.model_copy(update={"bf16": True}))
    arguments = arguments_of(own, tmp_path)
    assert (arguments["fp16"], arguments["bf16"]) == (True, False)
    arguments = arguments_of(replace(own, optim=OPTIM), tmp_path)  # `auto` on a CPU
    assert (arguments["fp16"], arguments["bf16"]) == (False, False)


def test_bfloat16_is_refused_where_the_gpu_has_none(
    lively: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("training.job.pick_device", lambda device: "cuda")
    monkeypatch.setattr("training.job.gpu_has_bfloat16", lambda: False)
    own = job("sft", tmp_path, str(lively), optim=OPTIM.model_copy(update={"bf16": True}))
    with pytest.raises(ConfigError, match=r"optim\.bf16: this GPU does not compute in bfloat16"):
        train_sft(answered(4), own)


def test_a_score_head_and_its_adapter_are_trained_in_float32(lively: Path):
    weights = ModelConfig(id=str(lively), dtype="float16")
    scorer = load_reward_policy(weights, LoraConfig(r=2), "cpu", 0)
    keep_adapter_wide(scorer)
    kinds = {name: weight.dtype for name, weight in scorer.named_parameters() if weight.requires_grad}
    assert any(".score." in name for name in kinds)
    assert set(kinds.values()) == {torch.float32}
