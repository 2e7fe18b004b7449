"""Every method in the precision of a GPU: bfloat16 weights under bfloat16 autocast, here on a CPU."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers

from engines.config import ModelConfig
from tests.training.jobs import (
    BY_EXAMPLES,
    DISTILL,
    GRPO,
    OPTIM,
    PPO,
    RLOO,
    Vowels,
    answered,
    asked,
    job,
    pairs,
    taught,
)
from training.config import DPOConfig, RewardConfig
from training.distill import train as distill
from training.distill.train import train_distill
from training.methods import METHODS, Method
from training.pairs.dpo import train_dpo
from training.pairs.reward import train_reward
from training.rl import train
from training.rl.reward_sum import WeightedReward
from training.rl.rollouts import Drawn
from training.rl.task import RLTask
from training.rl.train import train_grpo, train_ppo, train_rloo
from training.sft import train_sft

LN_2 = math.log(2)
FAMILIES = ("qwen3", "gemma3")
ONE_UPDATE = {"steps": 2, "minibatch": 8}
"""Two steps of one update each, so that the first step's losses are those of the initial policy."""


@pytest.fixture(scope="module")
def folders(tiny_tokenizer: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny models of two current families: norms on queries and keys, tied heads, sliding windows."""
    import torch
    from transformers import AutoModelForCausalLM, Gemma3TextConfig, Qwen3Config

    from engines.tokenization import CHATML

    shape = {
        "vocab_size": 300,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "initializer_range": 0.1,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    windows: dict[str, Any] = {
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"],
        "query_pre_attn_scalar": 8,
    }
    configs = (Qwen3Config(**shape), Gemma3TextConfig(**shape, **windows))
    built = {}
    for family, config in zip(FAMILIES, configs, strict=True):
        torch.manual_seed(0)
        built[family] = tmp_path_factory.mktemp("models") / family
        AutoModelForCausalLM.from_config(config).save_pretrained(built[family])
        tiny_tokenizer(CHATML).save_pretrained(built[family])
    return built


class Notes:
    """A sampler that notes the answers that it draws, or gives again those that are noted."""

    is_exact = False

    def __init__(self, sampler: Any, noted: list[list[Drawn]], *, again: bool) -> None:
        self._sampler, self._noted, self._again = sampler, noted, again

    def sample(self, prompts: Any, seeds: Any) -> list[Drawn]:
        if not self._again:
            self._noted.append(self._sampler.sample(prompts, seeds))
            return self._noted[-1]
        return self._noted.pop(0)

    def update(self) -> None:
        self._sampler.update()

    def close(self) -> None:
        self._sampler.close()


def first_step(method: Method, to: Path, model: Path, dtype: str, **optim: Any) -> dict[str, float]:
    """Train for a few steps and return the first one's metrics."""
    settings = OPTIM.model_copy(update={"bf16": dtype == "bfloat16", **optim})
    own = job(method, to, str(model), optim=settings)
    own = replace(own, epochs=1.0, policy=ModelConfig.model_validate({"id": str(model), "dtype": dtype}))
    task = RLTask(asked(8), [WeightedReward(Vowels())])
    if method == "sft":
        train_sft(answered(8), own)
    elif method == "reward":
        train_reward(pairs(8), own, RewardConfig())
    elif method == "dpo":
        train_dpo(pairs(8), own, DPOConfig())
    elif method == "ppo":
        train_ppo(task, own, PPO.model_copy(update=ONE_UPDATE | {"ppo_epochs": 1}))
    elif method == "rloo":
        train_rloo(task, own, RLOO.model_copy(update=ONE_UPDATE))
    elif method == "grpo":
        train_grpo(task, own, GRPO.model_copy(update=ONE_UPDATE))
    else:
        train_distill(taught(8), own, DISTILL.model_copy(update={"steps": 2}))
    rows = [json.loads(line) for line in (to / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    losses = [value for row in rows for key, value in row.items() if "loss" in key or "grad_norm" in key]
    assert all(map(math.isfinite, losses))
    assert len(losses) >= 4
    return {key: value for key, value in rows[0].items() if isinstance(value, int | float)}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_in_the_precision_of_a_gpu(
    folders: dict[str, Path],
    family: str,
    method: Method,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    make, noted, again = train.open_sampler, [], False

    def sampler(*args: Any) -> Notes:
        return Notes(make(*args), noted, again=again)

    # In another precision other answers would be drawn.
    for module in (train, distill):
        monkeypatch.setattr(module, "open_sampler", sampler)
    wide = first_step(method, tmp_path / "float32", folders[family], "float32")
    again = True
    narrow = first_step(method, tmp_path / "bfloat16", folders[family], "bfloat16")
    if method in BY_EXAMPLES:
        assert narrow["loss"] == pytest.approx(wide["loss"], rel=0.02)
    else:
        # Before the first update this loss is minus the mean of the advantages, whose deviation is about 1.
        assert narrow["loss/policy_avg"] == pytest.approx(wide["loss/policy_avg"], abs=0.02)
        assert narrow["policy/grad_norm"] == pytest.approx(wide["policy/grad_norm"], rel=0.05)
    if method == "ppo":
        assert narrow["loss/value_avg"] == pytest.approx(wide["loss/value_avg"], rel=0.02)
    if method == "dpo":
        assert narrow["loss"] == pytest.approx(LN_2, abs=1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("family", FAMILIES)
def test_policy_and_reference_of_dpo_are_equal_before_the_first_step_under_autocast(
    folders: dict[str, Path], family: str, dtype: str, tmp_path: Path
):
    # Each pair is a micro-batch of its own for policy and reference: rounding is the same.
    first = first_step_of_all_pairs(tmp_path, folders[family], dtype)
    assert first["loss"] == pytest.approx(LN_2, abs=1e-6)
    assert first["rewards/chosen"] == pytest.approx(0, abs=1e-6)
    assert first["rewards/rejected"] == pytest.approx(0, abs=1e-6)


def first_step_of_all_pairs(to: Path, model: Path, dtype: str) -> dict[str, float]:
    settings = OPTIM.model_copy(update={"bf16": True, "batch_size": 6, "micro_tokens": 16})
    own = job("dpo", to, str(model), optim=settings)
    own = replace(own, policy=ModelConfig.model_validate({"id": str(model), "dtype": dtype}))
    train_dpo(pairs(6), own, DPOConfig())
    first: dict[str, float] = json.loads((to / "metrics.jsonl").read_text().splitlines()[0])
    return first


@pytest.mark.parametrize("method", METHODS)
def test_gradient_checkpointing_recomputes_activations_in_the_precision_of_a_gpu(
    folders: dict[str, Path], method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    layers: list[Any] = []
    recomputed = transformers.modeling_utils.checkpoint

    def noted(layer: Any, *args: Any, **options: Any) -> Any:
        layers.append(layer)
        return recomputed(layer, *args, **options)

    monkeypatch.setattr(transformers.modeling_utils, "checkpoint", noted)
    first_step(method, tmp_path, folders["qwen3"], "bfloat16", gradient_checkpointing=True)
    assert layers
