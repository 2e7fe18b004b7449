"""The task of reinforcement learning: prompts, rewards, and a gold reward on held-out prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.chat import turns_of
from core.digests import derive_seed
from core.errors import ConfigError, RequestError
from core.lazy import require
from core.records import Prompt
from core.rewards import Reward
from core.settings import identity_of
from engines.answers import AnswerReader
from engines.loading import UNKNOWN_CONTEXT, context_tokens, locate
from engines.tokenization import TurnEncoder
from training.config import OptimConfig
from training.examples import AnsweredPrompt, EncodedAnswer, ExcludedExample
from training.job import TrainingJob
from training.rl.config import OnPolicyConfig, RLConfig
from training.rl.reward_sum import RewardSum, WeightedReward
from training.rl.rollouts import RolloutPrompt

RELEVANT_FIELDS = (
    "warmup",
    "schedule",
    "weight_decay",
    "max_grad_norm",
    "stop_grad_norm",
    "max_length",
    "bf16",
    "micro_tokens",
)
"""Fields of `optim` that affect the result of reinforcement learning."""


@dataclass(frozen=True)
class CriticOrigin:
    """The reward model that PPO's separate critic starts from."""

    folder: Path
    """Folder of the reward model's adapter."""
    mean: float = 0.0
    """Score of that reward model at which the initial value is 0."""
    scale: float = 1.0
    """Factor by which its scores are multiplied."""


@dataclass(frozen=True)
class RLTask:
    """Prompts and rewards to train on; held-out prompts and a gold reward to evaluate with."""

    prompts: Sequence[Prompt]
    rewards: Sequence[WeightedReward]
    held_out: Sequence[Prompt] = ()
    """Prompts that are held out from training if there is a gold reward."""
    gold: Reward | None = None
    """Reward that is measured on held-out prompts and never optimised."""
    identity: tuple[str, ...] = ()
    """What distinguishes these rewards from others with the same names."""
    answered: Sequence[AnsweredPrompt] = ()
    """Examples for the SFT loss that PPO mixes in if `sft_coef` is above 0."""
    vllm_engines: int = 0
    """Number of vLLM engines that the rewards will start on the trainer's GPU."""
    critic: CriticOrigin | None = None
    """Reward model that PPO's critic starts from; None for initial values of 0."""

    @property
    def unseen(self) -> Sequence[Prompt]:
        """The prompts to evaluate on; empty without a gold reward."""
        return self.held_out if self.gold is not None else ()


@dataclass(frozen=True)
class RLData:
    """A task in the form that the loop uses: encoded prompts, and the sum of the rewards."""

    prompts: Sequence[RolloutPrompt]
    rewards: RewardSum
    held_out: Sequence[RolloutPrompt] = ()
    """Prompts that are held out from training."""
    gold: Reward | None = None
    """Reward that is measured on held-out prompts and never optimised."""
    answered: Sequence[EncodedAnswer] = ()
    """Examples for the SFT loss that PPO mixes in."""


@dataclass
class EncodedPrompts:
    """The usable prompts, and the others with reasons."""

    rows: list[RolloutPrompt] = field(default_factory=list)
    excluded: list[ExcludedExample] = field(default_factory=list)


def encode_prompts(
    prompts: Sequence[Prompt], encoder: TurnEncoder, job: TrainingJob, config: OnPolicyConfig
) -> EncodedPrompts:
    """Encode the prompts; those too long for `max_new_tokens` more tokens are excluded, with reasons."""
    room = max_tokens(job) - config.max_new_tokens
    no_room = f"prompt and {config.method}.max_new_tokens exceed optim.max_length or the model's context"
    encoded = EncodedPrompts()
    for prompt in prompts:
        try:
            ids = encoder.encode(turns_of(prompt.messages)).ids
        except RequestError as error:
            encoded.excluded.append(ExcludedExample(prompt.id, error.reason, error.detail))
            continue
        if len(ids) > room:
            encoded.excluded.append(ExcludedExample(prompt.id, no_room, f"{len(ids)} tokens, at most {room}"))
        else:
            encoded.rows.append(RolloutPrompt(prompt, ids))
    return encoded


def max_tokens(job: TrainingJob) -> int:
    """Return how many tokens a prompt and its answer may have together."""
    return min(job.optim.max_length, context_tokens(locate(job.policy)) or UNKNOWN_CONTEXT)


def require_gold(task: RLTask, config: RLConfig, held_out: Sequence[object]) -> None:
    """Raise ConfigError if a gold reward is needed but not set, or is set without held-out prompts."""
    name = config.method
    if task.gold is None and (config.keep == "best" or config.patience is not None):
        raise ConfigError(
            f"{name}.keep: best and {name}.patience need a gold reward, but none is set",
            where=f"{name}.gold",
            accepted="a reward that is not trained on",
        )
    if task.gold is not None and not held_out:
        raise ConfigError(
            "no held-out prompts to measure the gold reward on",
            where=f"{name}.held_out",
            accepted="a share above 0",
        )


def rl_digest(
    task: RLTask,
    job: TrainingJob,
    config: RLConfig,
    rows: tuple[Sequence[RolloutPrompt], Sequence[RolloutPrompt]],
    relevant: Sequence[str],
    *own: object,
) -> str:
    """Return a digest of everything that determines the result.

    Args:
        task: the rewards.
        job: the model, the optimizer's settings and the folder.
        config: the method's settings.
        rows: training prompts, and held-out prompts.
        relevant: fields of `optim` that affect the result of this method.
        own: whatever else affects it.
    """
    read = OptimConfig().model_copy(update={name: getattr(job.optim, name) for name in relevant})
    settings = identity_of(config) | {"alarms": config.alarms == "stop"}
    names = [(entry.reward.name, entry.weight) for entry in task.rewards]
    learned, unseen = ([(row.ids, row.prompt.id, row.prompt.tags) for row in side] for side in rows)
    return replace(job, optim=read, epochs=1.0).digest(
        learned, unseen, settings, (names, task.gold and task.gold.name, task.identity), *own
    )


def reader_of(policy: Any, encoder: TurnEncoder, name: str) -> AnswerReader:
    """Return the reader of a policy's answers, which recognises the tokens that end them."""
    generation = policy.generation_config
    declared = generation.eos_token_id if generation else None
    ends = declared if isinstance(declared, list) else [declared]
    return AnswerReader(encoder.tokenizer, encoder, ends, name)


def prompt_at(seed: int, place: int, count: int) -> int:
    """Return the index of the prompt at a place in an endless sequence: all prompts, shuffled per pass."""
    return _shuffled(seed, place // count, count)[place % count]


@lru_cache(maxsize=2)
def _shuffled(seed: int, turn: int, count: int) -> tuple[int, ...]:
    torch = require("torch", "train")
    generator = torch.Generator().manual_seed(derive_seed(seed, "prompts", turn))
    return tuple(torch.randperm(count, generator=generator).tolist())
