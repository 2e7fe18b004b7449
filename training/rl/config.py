"""Sections of the run file for learning from rewards: what all its methods share, RLOO's and GRPO's."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from core.records import Finite
from core.settings import OPERATIONAL, Section
from training.methods import RLMethod


class RLConfig(Section):
    """What is rewarded, how answers are drawn, and what is watched."""

    method: ClassVar[RLMethod]
    """The section's name, for messages."""

    init: Literal["auto", "sft", "dpo", "base"] = "auto"
    """Where training starts, which is also the reference; `auto` is the SFT model if the run trains one."""
    rewards: dict[str, Finite] = Field(default={})
    """What is rewarded, and how much each counts: `reward` (the run's reward model), `checks` (the machine
    checks of the constitution), `labeler` (the AI labeler, answer by answer), a folder of a reward model, or
    `file.py:function`. Left out: the reward model if the run trains one, else the machine checks."""
    gold: str | None = None
    """What is watched on held-out prompts and not rewarded: one of the above."""
    eval_every: int = Field(default=10, ge=1)
    """Steps between two looks at gold."""
    keep: Literal["last", "best"] = "last"
    """Which weights are the result: the last, or those with the highest gold."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many looks in a row without a higher gold."""
    steps: int = Field(default=200, ge=1)
    """Times that answers are drawn and learned from."""
    rollouts: int = Field(default=256, ge=1)
    """Answers that are drawn for each of them."""
    temperature: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """At which answers are drawn; log-probabilities are taken at the same one."""
    max_new_tokens: int = Field(default=512, ge=1)
    """Most tokens of an answer."""
    max_batch: int = Field(default=64, ge=1, json_schema_extra=OPERATIONAL)
    """Answers that are drawn together."""
    learning_rate: float = Field(default=1.0e-5, gt=0.0, allow_inf_nan=False)
    """Peak learning rate of the policy."""
    kl_coef: float = Field(default=0.05, ge=0.0, allow_inf_nan=False)
    """What a nat of divergence from the reference costs."""
    stop_kl: float | None = Field(default=15.0, gt=0.0, allow_inf_nan=False)
    """Mean divergence in nats per answer at which training stops."""
    missing_eos_penalty: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    """Taken off the reward of an answer that was cut at `max_new_tokens`."""
    mask_truncated: bool = False
    """Whether cut answers teach nothing at all."""
    reward_clip: float | None = Field(default=5.0, gt=0.0, allow_inf_nan=False)
    """Rewards are held within plus and minus this."""
    reward_normalise: Literal["none", "running"] = "none"
    """`running` subtracts the mean of all rewards so far and divides by their standard deviation."""
    held_out: float = Field(default=0.05, ge=0.0, le=0.5)
    """Share of the prompts that are held out to watch by, where there is gold."""
    alarms: Literal["off", "warn", "stop"] = "warn"
    """What happens when training seems to game its reward: nothing, a warning, or the end."""
    alarm_evals: int = Field(default=2, ge=1)
    """Evaluations in a row in which the reward rose and gold fell, that are an alarm."""
    alarm_length: float = Field(default=1.5, gt=1.0, allow_inf_nan=False)
    """Mean length over that of the first step, from which on it is an alarm."""
    alarm_share: float = Field(default=0.3, gt=0.0, le=1.0)
    """By how much the share of answers with one and the same phrase, of repetitive ones, or of cut ones may
    rise over that of the first step."""


class GroupConfig(RLConfig):
    """Learning from several answers to one prompt, each measured by the others, without a critic.

    Each answer is learned from once, in one optimizer step right after it was drawn.
    """

    num_generations: int = Field(default=8, ge=2)
    """Answers to one prompt, which are compared with each other; `rollouts` is a multiple of it."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.rollouts % self.num_generations:
            raise ValueError(
                f"num_generations ({self.num_generations}) must divide rollouts ({self.rollouts})"
            )
        return self


class RLOOConfig(GroupConfig):
    """REINFORCE with the mean of the prompt's other answers as baseline (TRL's trainer)."""

    method = "rloo"

    normalize_advantages: bool = False
    """Whether advantages are brought to mean 0 and standard deviation 1 over the answers of a step."""


class GRPOConfig(GroupConfig):
    """Group relative policy optimization (TRL's trainer); the divergence is priced in the loss."""

    method = "grpo"

    loss_type: Literal["dapo", "dr_grpo", "grpo", "bnpo"] = "dapo"
    """What the sum over tokens is divided by: all tokens of the step (`dapo`), answers times
    `max_new_tokens` (`dr_grpo`), each answer's own tokens, which favours long bad answers (`grpo`), or the
    tokens that go through the model together (`bnpo`)."""
    scale_rewards: Literal["batch", "group", "none"] = "batch"
    """Whose standard deviation advantages are divided by: that of all rewards of the step, of the prompt's
    own answers, which makes much of prompts whose answers hardly differ, or none."""


class PPOConfig(RLConfig):
    """Proximal policy optimization against rewards, with a price on leaving the reference."""

    method = "ppo"

    samples: int = Field(default=1, ge=1)
    """Answers to one prompt; `rollouts` is a multiple of it."""
    minibatch: int = Field(default=64, ge=1)
    """Answers per optimizer step."""
    ppo_epochs: int = Field(default=1, ge=1)
    """Passes over the answers of one step."""
    rollout_engine: Literal["transformers", "vllm"] = "transformers"
    """What draws answers: the weights that are trained, or vLLM in a process of its own, for real work; it is
    handed the policy's adapter before each step."""
    kv_cache_gib: float = Field(default=1.0, gt=0.0, json_schema_extra=OPERATIONAL)
    """Memory in GiB for keys and values of answers under way (vllm on a CPU)."""
    gpu_memory_utilization: float = Field(default=0.3, gt=0.0, le=1.0, json_schema_extra=OPERATIONAL)
    """Share of the GPU's memory for vLLM's weights and cache; the trainer is there too (vllm on CUDA)."""
    critic_learning_rate: float = Field(default=1.0e-5, gt=0.0, allow_inf_nan=False)
    """Peak learning rate of the critic."""
    critic: Literal["separate", "shared"] = "separate"
    """Whether the critic has an adapter of its own, or only a head on the policy's hidden states: half the
    work, and the two pull at one adapter."""
    critic_init: Literal["auto", "reward", "zero"] = "auto"
    """Where a separate critic starts: from the run's reward model, or from values of 0; `auto` is the first
    where that is what is rewarded."""
    critic_warmup: int = Field(default=0, ge=0)
    """First steps in which the critic learns alone."""
    kl_target: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """Nats per answer at which the divergence is to settle: `kl_coef` is then adapted after each step."""
    kl_rate: float = Field(default=0.1, gt=0.0, le=1.0)
    """How fast it is adapted."""
    clip: float = Field(default=0.2, gt=0.0, lt=1.0)
    """How far a token's probability ratio may move in one step."""
    value_clip: float | None = Field(default=0.2, gt=0.0, allow_inf_nan=False)
    """How far a value may move in one step; null lets it go anywhere."""
    vf_coef: float = Field(default=0.1, gt=0.0, allow_inf_nan=False)
    """Weight of the critic's loss; matters where the trunk is shared."""
    gamma: float = Field(default=1.0, gt=0.0, le=1.0)
    """Discount per token."""
    lam: float = Field(default=0.95, ge=0.0, le=1.0)
    """Lambda of generalised advantage estimation."""
    whiten: bool = True
    """Whether advantages are brought to mean 0 and standard deviation 1 over all tokens of a step."""
    old_logprobs: Literal["auto", "trainer"] = "auto"
    """Where log-probabilities before the update come from: the trainer, or, with `auto`, the sampler where it
    computes with the same weights in float32, which is faster and the same up to rounding."""
    sampler_cap: float = Field(default=2.0, ge=1.0, allow_inf_nan=False)
    """Largest weight that makes up for the gap between sampler and trainer."""
    sft_coef: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Weight of the SFT loss that is mixed in (InstructGPT's gamma)."""
    ema: float | None = Field(default=None, gt=0.0, lt=1.0)
    """The result is the moving average of the policy's weights with this decay per step; unset, the last."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.rollouts % self.samples or self.minibatch % self.samples:
            raise ValueError(
                f"samples ({self.samples}) must divide rollouts ({self.rollouts}) and minibatch "
                f"({self.minibatch})"
            )
        return self

    @model_validator(mode="after")
    def _gets_somewhere(self) -> Self:
        if self.critic_warmup >= self.steps:
            raise ValueError(f"critic_warmup ({self.critic_warmup}) leaves none of the {self.steps} steps")
        if self.kl_target is not None and self.stop_kl is not None and self.kl_target >= self.stop_kl:
            raise ValueError(f"kl_target ({self.kl_target:g}) is not below stop_kl ({self.stop_kl:g})")
        if self.critic == "shared" and self.critic_init == "reward":
            raise ValueError("a shared critic reads the policy and cannot start from a reward model")
        if self.ema is not None and self.keep == "best":
            raise ValueError("gold is measured on the policy itself, so that keep: best goes without ema")
        return self
