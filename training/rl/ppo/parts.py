"""What a PPO training is put together from: prompts and rewards, and models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.rewards import Reward
from training.examples import EncodedAnswer
from training.rl.ppo.actor_critic import ActorCritic
from training.rl.reward_sum import RewardSum
from training.rl.rollouts import Drawn, RolloutPrompt, Sampler


@dataclass(frozen=True)
class PPOData:
    """What is learned from, and what it is watched by."""

    prompts: Sequence[RolloutPrompt]
    rewards: RewardSum
    held_out: Sequence[RolloutPrompt] = ()
    """Prompts that are never learned from."""
    gold: Reward | None = None
    """Scores answers to the held-out prompts, and is never learned from."""
    answered: Sequence[EncodedAnswer] = ()
    """Examples of the SFT loss that is mixed in."""


@dataclass(frozen=True)
class PPOModels:
    """What is trained, and what draws its answers."""

    models: ActorCritic
    sampler: Sampler
    read: Callable[[Drawn], str]
    """Returns an answer as a user would read it."""
