"""Sections of the run file for methods on the policy's own answers; among them PPO, RLOO and GRPO."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from core.records import Finite
from core.settings import ADDED, OPERATIONAL, Section
from engines.arguments.rules import answer_arguments
from engines.config import GpuIndex, VllmArguments
from engines.endpoint.settings import ServerUrl, VariableName
from training.methods import OnPolicyMethod, RLMethod

Critic = Literal["separate", "shared", "none"]
RolloutEngine = Literal["transformers", "vllm", "server"]

_BATCH = 64
"""Answers that transformers samples in one batch."""


class OnPolicyConfig(Section):
    """Settings of all methods that learn from the policy's own answers: start, rollouts and steps."""

    method: ClassVar[OnPolicyMethod]
    """Name of the section, for messages."""

    init: Literal["auto", "sft", "dpo", "base"] = "auto"
    """Model that training starts from, which is also the reference; `auto` is the SFT model if the run trains
    one, else the base model."""
    steps: int = Field(default=200, ge=1)
    """Number of training steps; each samples answers and trains on them."""
    rollouts: int = Field(default=256, ge=1)
    """Number of answers sampled per step."""
    temperature: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """Sampling temperature; log-probabilities are computed at the same temperature."""
    max_new_tokens: int = Field(default=512, ge=1)
    """Maximum tokens per answer."""
    rollout_engine: RolloutEngine = Field(default="transformers", json_schema_extra=ADDED)
    """Engine that samples answers: the model in training (`transformers`), vLLM in its own process, or a
    vLLM server at `rollout_url`."""
    rollout_url: ServerUrl | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """Address of the vLLM server that samples answers (`rollout_engine: server`). It serves the policy's base
    model, takes adapters at run time, and sees the training's folder under the same path."""
    rollout_api_key_env: VariableName | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """Environment variable that holds that server's key. Default: none."""
    max_batch: int | None = Field(default=None, ge=1, json_schema_extra=OPERATIONAL)
    """Maximum number of answers that are sampled in one batch. Default: all `rollouts` with vLLM, which
    queues what its KV cache cannot hold; else 64, or 32 on a CPU, where larger batches are not faster."""
    kv_cache_gib: float = Field(default=1.0, gt=0.0, json_schema_extra=OPERATIONAL)
    """Memory in GiB for the KV cache (vllm on a CPU)."""
    gpu_memory_utilization: float | None = Field(default=None, gt=0.0, le=1.0, json_schema_extra=OPERATIONAL)
    """Share of the GPU's memory for vLLM's weights and cache, on the trainer's own GPU. Default: what is free
    beside the models in training less a quarter of the GPU, or half of that if a labeler that gives rewards
    runs on the same GPU (vllm on CUDA)."""
    rollout_gpus: tuple[GpuIndex, ...] | None = Field(
        default=None, min_length=1, json_schema_extra=OPERATIONAL
    )
    """Indices of the GPUs on which vLLM samples answers. Default: the trainer's own (vllm on CUDA)."""
    rollout_arguments: VllmArguments = Field(default={}, json_schema_extra=ADDED)
    """Further arguments of the vLLM that samples answers, as in `engine.arguments`."""
    learning_rate: float = Field(default=1.0e-5, gt=0.0, allow_inf_nan=False)
    """Peak learning rate of the policy."""

    def decisive(self) -> Self:
        """Return the settings without vLLM's arguments that affect only speed and memory."""
        return self.model_copy(update={"rollout_arguments": answer_arguments(self.rollout_arguments)})

    def batch(self, engine: RolloutEngine) -> int:
        """Return the maximum number of answers that an engine samples in one batch."""
        return self.max_batch or (_BATCH if engine == "transformers" else self.rollouts)

    @model_validator(mode="after")
    def _has_its_server(self) -> Self:
        if (self.rollout_engine == "server") != (self.rollout_url is not None):
            raise ValueError(
                "rollout_engine: server and rollout_url belong together; accepted: both, or neither of them"
            )
        return self


class RLConfig(OnPolicyConfig):
    """Settings of the three methods that learn from rewards: rewards, KL penalty and alarms."""

    method: ClassVar[RLMethod]

    rewards: dict[str, Finite] = Field(default={})
    """Rewards with their weights: `reward` (the run's reward model), `checks` (the machine checks of the
    constitution), `labeler` (the AI labeler's pointwise score), the folder of a reward model, or
    `file.py:function`. Default: the reward model if the run trains one, else the machine checks."""
    gold: str | None = None
    """Gold reward: measured on held-out prompts and never optimised, to detect reward hacking. It takes the
    same forms as `rewards`, and must not be one of them."""
    eval_every: int = Field(default=10, ge=1)
    """Training steps between evaluations of the gold reward."""
    keep: Literal["last", "best"] = "last"
    """Weights to keep as the result: the last, or those with the highest gold reward."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after this many evaluations in a row without a higher gold reward."""
    kl_coef: float = Field(default=0.05, ge=0.0, allow_inf_nan=False)
    """Weight of the penalty on the KL divergence from the reference, per nat. In PPO and RLOO it is
    subtracted from the reward. In GRPO it is part of the loss, where advantages are in units of the standard
    deviation that `scale_rewards` divides by."""
    stop_kl: float | None = Field(default=15.0, gt=0.0, allow_inf_nan=False)
    """Training stops when the mean divergence exceeds this, in nats per answer."""
    missing_eos_penalty: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    """Subtracted from the reward of an answer that was truncated at `max_new_tokens`."""
    mask_truncated: bool = False
    """True to mask truncated answers in the loss."""
    reward_clip: float | None = Field(default=5.0, gt=0.0, allow_inf_nan=False)
    """The reward is clipped to the range from -reward_clip to reward_clip; null never clips."""
    reward_normalise: Literal["none", "running"] = "none"
    """`running` subtracts the mean of all rewards so far and divides by their standard deviation."""
    held_out: float = Field(default=0.05, ge=0.0, le=0.5)
    """Share of the prompts held out for evaluation if `gold` is set."""
    alarms: Literal["off", "warn", "stop"] = "warn"
    """Response to signs of reward hacking: none, a warning, or the end of training."""
    alarm_evals: int = Field(default=2, ge=1)
    """Alarm when the gold reward is significantly below its best evaluation so far, and the reward above
    that evaluation's, in this many evaluations in a row."""
    alarm_length: float = Field(default=1.5, gt=1.0, allow_inf_nan=False)
    """Alarm when the mean length exceeds this multiple of the first step's."""
    alarm_share: float = Field(default=0.3, gt=0.0, le=1.0)
    """Alarm when the share of answers with the same phrase, of repetitive answers, or of truncated answers
    has risen by more than this since the first step."""


class GroupConfig(RLConfig):
    """Several answers to one prompt, whose rewards are each other's baseline; no critic.

    Each answer is used once, in the one optimizer step that follows each draw.
    """

    num_generations: int = Field(default=8, ge=2)
    """Answers per prompt, which are compared with each other; `rollouts` must be a multiple of it."""

    # Settings of PPO that these methods fix, for the loop that all three share.
    critic: ClassVar[Critic] = "none"
    critic_learning_rate: ClassVar[float] = 0.0
    critic_warmup: ClassVar[int] = 0
    ppo_epochs: ClassVar[int] = 1
    clip: ClassVar[float] = 0.2
    adam_epsilon: ClassVar[float] = 1e-8
    kl_target: ClassVar[float | None] = None
    kl_rate: ClassVar[float] = 0.1
    old_logprobs: ClassVar[Literal["auto", "trainer"]] = "auto"
    sampler_cap: ClassVar[float] = 2.0
    sft_coef: ClassVar[float] = 0.0
    ema: ClassVar[float | None] = None

    @property
    def samples(self) -> int:
        """Answers per prompt, under PPO's name."""
        return self.num_generations

    @property
    def minibatch(self) -> int:
        """Answers per optimizer step: all that were drawn."""
        return self.rollouts

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.rollouts % self.num_generations:
            raise ValueError(
                f"num_generations ({self.num_generations}) must divide rollouts ({self.rollouts})"
            )
        return self


class RLOOConfig(GroupConfig):
    """REINFORCE leave-one-out: each answer's baseline is the mean reward of the prompt's other answers."""

    method = "rloo"

    normalize_advantages: bool = False
    """True to scale advantages to mean 0 and standard deviation 1 over the answers of a step."""


class GRPOConfig(GroupConfig):
    """Group relative policy optimization; the KL penalty is part of the loss."""

    method = "grpo"

    loss_type: Literal["dapo", "dr_grpo", "grpo", "bnpo"] = "dapo"
    """Divisor of the summed token losses: the number of tokens in the step (`dapo`); the number of answers
    times `max_new_tokens` (`dr_grpo`); the length of each answer, so that bad long answers cost less
    (`grpo`); or the number of tokens in each block of `optim.micro_batch` answers (`bnpo`)."""
    scale_rewards: Literal["batch", "group", "none"] = "batch"
    """Advantages are divided by the standard deviation of all rewards of the step (`batch`), of the rewards
    of the prompt's own answers (`group`; it amplifies prompts whose answers hardly differ), or by nothing
    (`none`)."""


class PPOConfig(RLConfig):
    """Proximal policy optimization, with a critic and a penalty on the KL divergence from the reference."""

    method = "ppo"
    # Huang et al. 2022, "The 37 implementation details of PPO", detail 3.
    adam_epsilon: ClassVar[float] = 1e-5

    samples: int = Field(default=1, ge=1)
    """Answers per prompt; `rollouts` must be a multiple of it."""
    minibatch: int = Field(default=64, ge=1)
    """Answers per optimizer step."""
    ppo_epochs: int = Field(default=1, ge=1)
    """Passes over the answers of one step."""
    rollout_engine: RolloutEngine = "transformers"
    """Engine that samples answers: the model in training (`transformers`), or vLLM, which is faster for large
    models and loads the policy's adapter before each step: in its own process (`vllm`), or a server at
    `rollout_url` (`server`)."""
    critic_learning_rate: float = Field(default=1.0e-5, gt=0.0, allow_inf_nan=False)
    """Peak learning rate of the critic."""
    critic: Literal["separate", "shared"] = "separate"
    """`separate`: the critic has an adapter of its own; `shared`: it is only a head on the policy's hidden
    states, which halves the computation, but policy and critic train the same adapter."""
    critic_init: Literal["auto", "reward", "zero"] = "auto"
    """Initial weights of a separate critic: the run's reward model (`reward`), or a head that predicts 0
    (`zero`); `auto` is `reward` if that model is one of the rewards, else `zero`."""
    critic_warmup: int = Field(default=0, ge=0)
    """Number of steps at the start that train the critic alone."""
    kl_target: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """Target KL divergence in nats per answer; if set, `kl_coef` is adapted after each step."""
    kl_rate: float = Field(default=0.1, gt=0.0, le=1.0)
    """Rate at which `kl_coef` is adapted to `kl_target`."""
    clip: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Distance from 1 at which a token's probability ratio is clipped."""
    value_clip: float | None = Field(default=0.2, gt=0.0, allow_inf_nan=False)
    """Distance from its old value at which a value is clipped; null never clips."""
    vf_coef: float = Field(default=0.1, gt=0.0, allow_inf_nan=False)
    """Weight of the critic's loss; relevant if the critic is shared."""
    gamma: float = Field(default=1.0, gt=0.0, le=1.0)
    """Discount per token."""
    lam: float = Field(default=0.95, ge=0.0, le=1.0)
    """Lambda of generalised advantage estimation."""
    whiten: bool = True
    """True to scale advantages to mean 0 and standard deviation 1 over all tokens of a step."""
    old_logprobs: Literal["auto", "trainer"] = "auto"
    """Source of the old log-probabilities: `trainer` computes them again; `auto` takes the sampler's if it
    runs the same weights in float32, which is faster and equal up to rounding."""
    sampler_cap: float = Field(default=2.0, ge=1.0, allow_inf_nan=False)
    """Upper bound on the importance weights that correct the mismatch of sampler and trainer."""
    sft_coef: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Weight of an SFT loss on the run's answers, which is added (like gamma in InstructGPT's PPO-ptx)."""
    ema: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Decay per step of an exponential moving average of the policy's weights, which is then the result; if
    unset, the last weights are the result."""

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
            raise ValueError(f"critic_warmup ({self.critic_warmup}) must be less than steps ({self.steps})")
        if self.kl_target is not None and self.stop_kl is not None and self.kl_target >= self.stop_kl:
            raise ValueError(f"kl_target ({self.kl_target:g}) must be less than stop_kl ({self.stop_kl:g})")
        if self.critic == "shared" and self.critic_init == "reward":
            raise ValueError(
                "a shared critic uses the policy's hidden states and cannot start from a reward model"
            )
        if self.ema is not None and self.keep == "best":
            raise ValueError(
                "keep: best cannot be combined with ema: gold rewards are not measured on averaged weights"
            )
        return self


LoopConfig = PPOConfig | RLOOConfig | GRPOConfig
"""Settings of the loop that all three methods share."""
