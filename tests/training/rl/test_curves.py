"""Learning curves of PPO, RLOO and GRPO in float64, against recorded ones.

`curves.json` holds two curves for each case: `before`, recorded while RLOO and GRPO were TRL 1.16's
trainers and the loop was PPO's alone, and `now`, recorded with the loop that all three share and draws from
float64 probabilities. Rewards and their spread are float32, and how they are rounded depends on the kind of
processor. A difference of 1e-8 in a gradient that is nearly zero is a difference in Adam's next step, and
some steps later in a token that is drawn. So each curve has the steps in which that changes less than a
thousandth, between code with and without AVX2.
`PUBLIUS_RECORD=1 pytest` on this file records `now` again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from engines.config import ModelConfig
from tests.training.jobs import Vowels, asked
from tests.training.pairs.test_trl_parity import in_double
from training import policy
from training.config import LoraConfig, OptimConfig
from training.job import TrainingJob
from training.rl.config import GRPOConfig, LoopConfig, PPOConfig, RLOOConfig
from training.rl.reward_sum import WeightedReward
from training.rl.task import RLTask
from training.rl.train import train_grpo, train_ppo, train_rloo

RECORDED = Path(__file__).with_name("curves.json")
NAMES = ("objective/scores", "objective/kl")
OPTIM = OptimConfig(
    warmup=0,
    schedule="constant",
    micro_batch=8,
    micro_tokens=512,
    max_length=256,
    checkpoint_every=1000,
    stop_grad_norm=None,
)
COMMON: dict[str, Any] = {
    "steps": 4,
    "rollouts": 64,
    "max_new_tokens": 8,
    "learning_rate": 5e-2,
    "kl_coef": 0.01,
    "stop_kl": None,
    "missing_eos_penalty": 0.0,
    "alarms": "off",
}
GROUP = {**COMMON, "num_generations": 8}
CASES: dict[str, LoopConfig] = {
    "ppo": PPOConfig(
        **{**COMMON, "steps": 2, "kl_coef": 0.001}, samples=2, minibatch=32, critic_learning_rate=5e-2
    ),
    "rloo": RLOOConfig(**GROUP),
    "rloo-normalized": RLOOConfig(**GROUP, normalize_advantages=True),
    **{f"grpo-{kind}": GRPOConfig(**GROUP, loss_type=kind) for kind in ("dapo", "dr_grpo", "grpo", "bnpo")},
    "grpo-group": GRPOConfig(**{**GROUP, "steps": 2}, scale_rewards="group"),
}
TRAIN: dict[str, Any] = {"ppo": train_ppo, "rloo": train_rloo, "grpo": train_grpo}
FAST = ("ppo", "grpo-dapo")


def curve(case: str, model: Path, folder: Path) -> dict[str, list[float]]:
    config = CASES[case]
    job = TrainingJob(
        config.method,
        folder,
        ModelConfig(id=str(model)),
        LoraConfig(r=8, alpha=16),
        OPTIM,
        config.learning_rate,
        1.0,
        0,
        "cpu",
    )
    TRAIN[config.method](RLTask(asked(), [WeightedReward(Vowels())]), job, config)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {name: [row[name] for row in rows] for name in NAMES}


class DoubleRotary(torch.nn.Module):
    """Rotary positions in float64: those of transformers are float32 whatever the weights are."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.hidden_size // config.num_attention_heads
        base = config.rope_parameters["rope_theta"]
        self.frequencies = 1.0 / base ** (torch.arange(0, width, 2, dtype=torch.float64) / width)

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        angles = (position_ids[..., None].double() * self.frequencies).repeat(1, 1, 2)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


@pytest.fixture(autouse=True)
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    load = policy.load_model

    def loaded(*given: Any, **named: Any) -> Any:
        model = in_double(load(*given, **named))
        for name, module in list(model.named_modules()):
            if name.endswith("rotary_emb"):
                model.set_submodule(name, DoubleRotary(module.config))
        return model

    monkeypatch.setattr(policy, "load_model", loaded)


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=() if name in FAST else pytest.mark.long) for name in CASES]
)
def test_curves_are_the_recorded_ones(case: str, lively: Path, tmp_path: Path):
    found, curves = curve(case, lively, tmp_path), json.loads(RECORDED.read_text())
    if "PUBLIUS_RECORD" in os.environ:
        curves[case]["now"] = found
        RECORDED.write_text(json.dumps(curves, indent=1) + "\n")
    recorded = curves[case]["now"]
    for name in NAMES:
        assert found[name] == pytest.approx(recorded[name], rel=1e-3, abs=1e-6), name


@pytest.mark.parametrize("case", CASES)
def test_one_loop_learns_as_the_two_mechanisms_before_it(case: str):
    """Step by step, until TRL's float32 rewards change a token that is drawn.

    `bnpo` shuffled its blocks; PPO's first update already differs by its float32 draws.
    """
    recorded = json.loads(RECORDED.read_text())[case]
    same = {"ppo": 1, "grpo-bnpo": 1, "grpo-group": 2}.get(case, 3)
    for name in NAMES:
        before, now = (recorded[when][name][:same] for when in ("before", "now"))
        assert now == pytest.approx(before, rel=1e-3, abs=1e-5), name
