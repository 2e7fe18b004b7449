"""Losses, advantages and gradients of RLOO and GRPO are TRL's, on the same tokens and rewards in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from core.lazy import require
from engines.config import ModelConfig
from engines.trees import Tree
from tests.training.jobs import asked
from tests.training.pairs.test_trl_parity import DoubleHead, in_double
from training import policy
from training.config import LoraConfig, OptimConfig
from training.job import TrainingJob
from training.rl.config import GRPOConfig, RLOOConfig
from training.rl.ppo.actor_critic import ActorCritic, load_actor_critic
from training.rl.ppo.experience import compute_token_metrics, experience_of
from training.rl.ppo.objectives import estimate_advantages, scores_of
from training.rl.ppo.update import PolicyUpdate
from training.rl.rollouts import Drawn, Rollout, RolloutPrompt

PROMPTS, SAMPLES, MOST = 3, 4, 9
BLOCK = 4
"""Answers that go through TRL's model together, which `bnpo` depends on."""
TEMPERATURE = 0.7
COMMON: dict[str, Any] = {
    "steps": 1,
    "rollouts": PROMPTS * SAMPLES,
    "num_generations": SAMPLES,
    "max_new_tokens": MOST,
    "temperature": TEMPERATURE,
    "missing_eos_penalty": 0.0,
    "kl_coef": 0.125,
}
TRL: dict[str, Any] = {
    "num_generations": SAMPLES,
    "max_completion_length": MOST,
    "temperature": TEMPERATURE,
    "per_device_train_batch_size": BLOCK,
    "gradient_accumulation_steps": PROMPTS * SAMPLES // BLOCK,
    "max_steps": 1,
    "disable_dropout": True,
    "use_cpu": True,
    "bf16": False,
    "report_to": [],
    "gradient_checkpointing": False,
}


@dataclass(frozen=True)
class Answers:
    """Prompts and answers of different lengths with rewards, some of them cut."""

    prompts: list[tuple[int, ...]]
    answers: list[tuple[int, ...]]
    rewards: list[float | None]
    finished: list[bool]

    @classmethod
    def of(cls, rewards: list[float | None], *, cut: bool = False) -> Answers:
        drawn = torch.Generator().manual_seed(5)

        def tokens(least: int, most: int) -> tuple[int, ...]:
            length = int(torch.randint(least, most + 1, (), generator=drawn))
            return tuple(torch.randint(3, 250, (length,), generator=drawn).tolist())

        # TRL pads prompts on the left, which shifts positions; Llama computes rotations in float32 at any
        # weight type, and shifted positions round differently. Prompts of one length need no padding.
        prompts = [tokens(6, 6) for _ in range(PROMPTS)]
        answers = [tokens(1, MOST - 1) for _ in range(PROMPTS * SAMPLES)]
        finished = [not cut or row % 3 > 0 for row in range(len(answers))]
        answers = [(*ids, 2) if ends else ids for ids, ends in zip(answers, finished, strict=True)]
        return cls(prompts, answers, rewards, finished)

    def rollouts(self) -> list[Rollout]:
        rows = [RolloutPrompt(prompt, ids) for prompt, ids in zip(asked(PROMPTS), self.prompts, strict=True)]
        return [
            Rollout(rows[n // SAMPLES], Drawn(ids, (0.0,) * len(ids), finished), "")
            for n, (ids, finished) in enumerate(zip(self.answers, self.finished, strict=True))
        ]


SCORED = Answers.of([1.0, 2.0, 6.0, 0.5, 0.0, -1.0, 4.0, 4.0, 0.25, 3.0, 1.0, 1.5])
UNSCORED = Answers.of([1.0, None, 6.0, 0.5, None, None, 4.0, None, 0.25, 3.0, 1.0, None])
CUT = Answers.of(SCORED.rewards, cut=True)


@pytest.fixture(autouse=True)
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    load = policy.load_model
    monkeypatch.setattr(policy, "load_model", lambda *given, **named: in_double(load(*given, **named)))
    monkeypatch.setattr("trl.trainer.utils._ChunkedLogProbFunction", DoubleHead)


def disturb(model: Any, seed: int, std: float) -> None:
    """Move the adapter: away from the reference, and later away from the policy that drew the answers."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B.default" in name:
                weight += std * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)


def ours(
    model: Path, folder: Path, config: RLOOConfig | GRPOConfig, answers: Answers, moved: float
) -> tuple[float, dict[str, torch.Tensor]]:
    """Return loss and gradient of the loop, after the policy has moved by so much from where it drew."""
    optim = OptimConfig(micro_batch=BLOCK, micro_tokens=64, max_grad_norm=1e9)
    job = TrainingJob(
        config.method, folder, ModelConfig(id=str(model)), LoraConfig(r=4, alpha=8), optim, 1.0, 1.0, 0, "cpu"
    )
    probe = Tree(answers.prompts[0], (answers.answers[0],))
    models: ActorCritic = load_actor_critic(job, "none", None, probe, TEMPERATURE)
    disturb(models.policy, 3, 0.02)
    update = PolicyUpdate(models, config, job, (), updates=1)
    rollouts = answers.rollouts()
    experience = experience_of(rollouts, SAMPLES, packed=models.packed, mask_truncated=config.mask_truncated)
    compute_token_metrics(experience, models, 64)
    experience.sampler = experience.logprobs
    scores = scores_of(rollouts, answers.rewards, 0.0).double()
    estimate_advantages(experience, scores, config, config.kl_coef, BLOCK)
    gradients: dict[str, torch.Tensor] = {}

    def keep(*_: Any) -> None:
        gradients.update(
            {n: p.grad.clone() for n, p in update.policy.parameters.items() if p.grad is not None}
        )

    update.policy.optimizer.register_step_pre_hook(keep)
    disturb(models.policy, 4, moved)
    metrics = update.run(experience, 1)
    return metrics["loss/policy_avg"], gradients


@contextlib.contextmanager
def without_vllm() -> Iterator[None]:
    """Let TRL believe that vLLM is not installed, or it would load all of it along with its trainers."""
    known: Any = require("trl.import_utils", "train")
    asked_for = known.is_vllm_available
    known.is_vllm_available = lambda min_version=None: False
    try:
        yield
    finally:
        known.is_vllm_available = asked_for


def theirs(
    model: Path, folder: Path, config: RLOOConfig | GRPOConfig, answers: Answers, moved: float
) -> tuple[float, dict[str, torch.Tensor]]:
    """Return loss and gradient of TRL's trainer on the same tokens and rewards."""
    with without_vllm():
        from trl import GRPOConfig as TRLGRPOConfig  # type: ignore[attr-defined]
        from trl import GRPOTrainer, RLOOTrainer  # type: ignore[attr-defined]
        from trl import RLOOConfig as TRLRLOOConfig  # type: ignore[attr-defined]

    own: dict[str, Any] = {"beta": config.kl_coef}
    if isinstance(config, GRPOConfig):
        base, settings = GRPOTrainer, TRLGRPOConfig
        own |= {"loss_type": config.loss_type, "scale_rewards": config.scale_rewards}
    else:
        base, settings = RLOOTrainer, TRLRLOOConfig
        own |= {"normalize_advantages": config.normalize_advantages}

    class Given(base):  # type: ignore[misc, valid-type]
        """Draws and scores nothing: answers and rewards are given, the rewards in float64."""

        def _tokenize_prompts(self, prompts: Any) -> Any:
            return [list(answers.prompts[int(number) // SAMPLES]) for number in prompts], None, {}

        def _generate_single_turn(self, *_: Any, **__: Any) -> Any:
            tokens = [list(ids) for ids in answers.answers]
            return (tokens, None) if isinstance(self, GRPOTrainer) else tokens

        def _calculate_rewards(self, *_: Any) -> torch.Tensor:
            given = [torch.nan if reward is None else reward for reward in answers.rewards]
            return torch.tensor(given, dtype=torch.float64)[:, None]

    loaded = policy.load_policy(ModelConfig(id=str(model)), LoraConfig(r=4, alpha=8), "cpu", 0, None)
    encoder = policy.load_encoder(ModelConfig(id=str(model)))
    encoder.tokenizer.eos_token_id = 2  # TRL takes an answer that does not end in it for a cut one
    trainer = Given(
        model=loaded,
        reward_funcs=lambda prompts, **_: [0.0] * len(prompts),
        args=settings(output_dir=str(folder), mask_truncated_completions=config.mask_truncated, **TRL, **own),
        train_dataset=require("datasets", "train").Dataset.from_dict(
            {"prompt": [str(SAMPLES * number) for number in range(PROMPTS)]}
        ),
        processing_class=encoder.tokenizer,
    )
    disturb(loaded, 3, 0.02)  # TRL has copied the adapter before, as its reference
    rows = [{"prompt": str(number)} for number in range(PROMPTS * SAMPLES)]
    trainer.model.train()
    batch = trainer._generate_and_score_completions(rows)
    with torch.no_grad():
        ids, mask = (
            torch.cat([batch[f"prompt_{kind}"], batch[f"completion_{kind}"]], dim=1)
            for kind in ("ids", "mask")
        )
        width = batch["completion_ids"].shape[1]
        batch["old_per_token_logps"] = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, mask, width
        )[0]
    disturb(loaded, 4, moved)
    trainer.current_gradient_accumulation_steps = PROMPTS * SAMPLES // BLOCK
    total = 0.0
    for start in range(0, PROMPTS * SAMPLES, BLOCK):
        part = {
            name: value[start : start + BLOCK]
            if isinstance(value, torch.Tensor) and value.dim() > 0
            else value
            for name, value in batch.items()
        }
        loss = trainer._compute_loss(trainer.model, part)
        if not isinstance(trainer, GRPOTrainer):
            loss = (
                loss / trainer.current_gradient_accumulation_steps
            )  # which transformers' Trainer divides by
        loss.backward()
        total += loss.item()
    return total, {name: p.grad for name, p in trainer.model.named_parameters() if p.grad is not None}


CASES = {
    "rloo": (RLOOConfig(**COMMON), SCORED),
    "rloo, normalized": (RLOOConfig(**COMMON, normalize_advantages=True), SCORED),
    "rloo, without a penalty": (RLOOConfig(**{**COMMON, "kl_coef": 0.0}), SCORED),
    "rloo, unscored answers": (RLOOConfig(**COMMON), UNSCORED),
    **{
        f"grpo, {loss_type}": (GRPOConfig(**COMMON, loss_type=loss_type), SCORED)
        for loss_type in ("dapo", "dr_grpo", "grpo", "bnpo")
    },
    **{
        f"grpo, scaled by {scale}": (GRPOConfig(**COMMON, scale_rewards=scale), SCORED)
        for scale in ("group", "none")
    },
    "grpo, unscored answers": (GRPOConfig(**COMMON), UNSCORED),
    "grpo, cut answers": (GRPOConfig(**COMMON, loss_type="grpo", mask_truncated=True), CUT),
}


@pytest.mark.parametrize("moved", [0.0, 0.02])
@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_are_trls(case: str, moved: float, tiny_folder: Path, tmp_path: Path):
    config, answers = CASES[case]
    loss, gradients = ours(tiny_folder, tmp_path / "ours", config, answers, moved)
    expected, expected_gradients = theirs(tiny_folder, tmp_path / "theirs", config, answers, moved)
    # On the policy's own answers the loss of RLOO is the sum of the advantages, which is 0.
    assert loss == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        assert (gradient - expected_gradients[name]).abs().max() <= 1e-6 * expected_gradients[
            name
        ].abs().max()
    assert max(gradient.abs().max() for gradient in gradients.values()) > 1e-6
