"""The model's own dropout is off in training; the adapter's is as configured."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engines.adapter import WEIGHTS
from engines.config import ModelConfig
from engines.hf.loading import load_model
from engines.loading import locate
from tests.training.jobs import GRPO, OPTIM, PPO, SMALL, Vowels, answered, asked, job, pairs
from training.config import DPOConfig, RewardConfig
from training.methods import Method
from training.pairs.dpo import train_dpo
from training.pairs.reward import train_reward
from training.policy import load_policy, load_reward_policy
from training.rl.ppo.actor_critic import load_actor_critic
from training.rl.reward_sum import WeightedReward
from training.rl.task import RLTask
from training.rl.train import train_grpo, train_ppo
from training.sft import train_sft

FAMILIES = ("gpt2", "seed_oss", "opt")
Build = Callable[[str, float], Path]


@pytest.fixture(scope="module")
def build(tiny_tokenizer: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A factory of tiny models by family and dropout: as modules (gpt2) and as functions (seed_oss, opt)."""
    import torch
    from transformers import AutoModelForCausalLM, GPT2Config, OPTConfig, SeedOssConfig

    from engines.tokenization import CHATML

    common = {"vocab_size": 300, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    layers = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    folders: dict[tuple[str, float], Path] = {}

    def config_of(family: str, rate: float) -> Any:
        if family == "gpt2":
            names = ("attn_pdrop", "embd_pdrop", "resid_pdrop", "summary_first_dropout")
            size = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}
            return GPT2Config(**common, **size, **dict.fromkeys(names, rate), initializer_range=0.1)
        if family == "opt":
            opt = {**layers, "ffn_dim": 64, "word_embed_proj_dim": 32, "max_position_embeddings": 512}
            own = dict.fromkeys(("dropout", "attention_dropout", "layerdrop"), rate)
            return OPTConfig(**common, **opt, **own, init_std=0.1)
        seed = {**layers, "intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8}
        own = dict.fromkeys(("residual_dropout", "attention_dropout"), rate)
        return SeedOssConfig(**common, **seed, **own, initializer_range=0.1, max_position_embeddings=512)

    def folder(family: str, rate: float) -> Path:
        if (family, rate) not in folders:
            torch.manual_seed(0)
            folders[family, rate] = to = tmp_path_factory.mktemp("models") / f"{family}-{rate}"
            AutoModelForCausalLM.from_config(config_of(family, rate)).save_pretrained(to)
            tiny_tokenizer(CHATML).save_pretrained(to)
        return folders[family, rate]

    return folder


def train(method: Method, to: Path, model: Path, learning_rate: float = 1e-3, **optim: Any) -> None:
    settings = OPTIM.model_copy(update=optim)
    own = replace(job(method, to, str(model), optim=settings, learning_rate=learning_rate), epochs=1.0)
    task = RLTask(asked(8), [WeightedReward(Vowels())])
    if method == "sft":
        train_sft(answered(8), own)
    elif method == "reward":
        train_reward(pairs(8), own, RewardConfig())
    elif method == "dpo":
        train_dpo(pairs(8), own, DPOConfig())
    elif method == "ppo":
        train_ppo(task, own, PPO.model_copy(update={"steps": 1}))
    else:
        train_grpo(task, own, GRPO.model_copy(update={"steps": 1}))


def rows_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("family", FAMILIES)
def test_policy_and_reference_of_dpo_are_equal_where_the_model_has_dropout(
    build: Build, family: str, tmp_path: Path
):
    train("dpo", tmp_path, build(family, 0.1), learning_rate=1e-9)
    losses = [row["loss"] for row in rows_of(tmp_path)]
    assert losses == pytest.approx([math.log(2)] * 2, abs=1e-5)


@pytest.mark.parametrize("method", ["sft", "reward", "dpo", "ppo", "grpo"])
def test_a_model_with_dropout_trains_like_one_without(build: Build, method: Method, tmp_path: Path):
    # Only in training mode could dropout act, and with gradient checkpointing PPO's policy is in it.
    for rate in (0.0, 0.1):
        train(method, tmp_path / f"{rate}", build("gpt2", rate), gradient_checkpointing=True)
    without, with_dropout = ((tmp_path / f"{rate}" / WEIGHTS).read_bytes() for rate in (0.0, 0.1))
    assert without == with_dropout


def test_a_policy_with_function_dropout_gives_in_training_mode_what_its_sampler_saw(
    build: Build, tmp_path: Path
):
    train("grpo", tmp_path, build("seed_oss", 0.1), learning_rate=1e-9, gradient_checkpointing=True)
    (row,) = rows_of(tmp_path)
    gaps = [value for name, value in row.items() if name.startswith("sampling/") and "difference" in name]
    assert gaps
    assert max(gaps) < 1e-3


def test_the_adapters_own_dropout_stays(build: Build):
    from torch.nn import Dropout

    model, lora = ModelConfig(id=str(build("gpt2", 0.1))), SMALL.model_copy(update={"dropout": 0.25})
    for policy in (load_policy(model, lora, "cpu", 0), load_reward_policy(model, lora, "cpu", 0)):
        rates = {
            "lora_dropout" in name: module.p
            for name, module in policy.named_modules()
            if isinstance(module, Dropout)
        }
        assert rates == {True: 0.25, False: 0.0}


def test_reinforcement_learning_turns_the_adapters_dropout_off(build: Build, tmp_path: Path):
    from torch.nn import Dropout

    from engines.trees import Tree

    own = job("ppo", tmp_path, str(build("gpt2", 0.1)))
    own = replace(own, lora=SMALL.model_copy(update={"dropout": 0.25}))
    models = load_actor_critic(own, "separate", None, Tree((1, 5, 6), ((7, 2),)), 1.0)
    assert {module.p for module in models.policy.modules() if isinstance(module, Dropout)} == {0.0}


def test_a_model_that_is_not_trained_keeps_its_configuration(build: Build):
    model = load_model(locate(ModelConfig(id=str(build("gpt2", 0.1)))), "float32", "cpu")
    assert model.config.attn_pdrop == pytest.approx(0.1)


def test_dropout_of_nested_configurations_is_turned_off(tmp_path: Path):
    from transformers import AutoConfig, Gemma3Config

    from engines.hf.loading import config_without_dropout

    nested = Gemma3Config(
        text_config={"attention_dropout": 0.1}, vision_config={"attention_dropout": 0.2, "hidden_size": 32}
    )
    nested.save_pretrained(tmp_path)
    config = config_without_dropout(tmp_path)
    assert type(config) is type(AutoConfig.from_pretrained(tmp_path))
    assert (config.text_config.attention_dropout, config.vision_config.attention_dropout) == (0.0, 0.0)
    assert config.vision_config.hidden_size == 32
