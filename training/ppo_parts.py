"""What a PPO training is put together from: prompts and rewards, models, and a clock."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from core.rewards import Reward
from training.actor_critic import ActorCritic
from training.examples import EncodedAnswer
from training.reward_sum import RewardSum
from training.rollouts import Drawn, RolloutPrompt, Sampler


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


@dataclass
class Clock:
    """Seconds and tokens of each phase, for the progress line and the end."""

    seconds: dict[str, float] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the block's time."""
        started = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    def count(self, name: str, tokens: int) -> None:
        """Count tokens of a phase."""
        self.tokens[name] = self.tokens.get(name, 0) + tokens

    def rates(self) -> str:
        """Return tokens per second of each phase that has tokens."""
        return ", ".join(
            f"{name} {count / max(self.seconds.get(name, 0.0), 1e-9):,.0f} tokens/s"
            for name, count in self.tokens.items()
        )
