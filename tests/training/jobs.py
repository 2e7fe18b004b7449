"""Small training jobs on a model in a folder, for tests; also run as a program that can be killed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from core.chat import Turn, turns_of
from core.records import Message, Prompt
from core.rewards import Sample
from engines.config import ModelConfig
from training.config import DPOConfig, LoraConfig, OptimConfig, RewardConfig
from training.distill.config import DistillConfig
from training.distill.task import TaughtPrompt
from training.distill.train import train_distill
from training.examples import AnsweredPrompt, PreferencePair
from training.job import TrainingJob, TrainingResult
from training.methods import METHODS, Method
from training.pairs.dpo import train_dpo
from training.pairs.reward import train_reward
from training.processes import rank, world_size
from training.rl.config import GRPOConfig, PPOConfig, RLOOConfig
from training.rl.reward_sum import WeightedReward
from training.rl.task import RLTask
from training.rl.train import train_grpo, train_ppo, train_rloo
from training.sft import train_sft

BY_EXAMPLES: tuple[Method, ...] = ("sft", "reward", "dpo")
"""Methods that learn from examples."""
SMALL = LoraConfig(r=4, alpha=8)
OPTIM = OptimConfig(batch_size=4, micro_batch=2, micro_tokens=300, max_length=128, checkpoint_every=2)
DPO = DPOConfig()
PPO = PPOConfig(
    rollouts=8,
    samples=2,
    minibatch=4,
    ppo_epochs=2,
    max_new_tokens=8,
    learning_rate=1e-2,
    critic_learning_rate=1e-2,
    kl_target=1.0,
    reward_normalise="running",
    stop_kl=None,
    ema=0.5,
)
"""With all that a checkpoint has to remember."""
RLOO = RLOOConfig(
    rollouts=8,
    num_generations=4,
    max_new_tokens=8,
    learning_rate=1e-2,
    reward_normalise="running",
    stop_kl=None,
)
GRPO = GRPOConfig(**RLOO.model_dump(exclude={"normalize_advantages"}))
DISTILL = DistillConfig(rollouts=8, samples=2, max_new_tokens=8, learning_rate=1e-2)


class Vowels:
    """The share of vowels in an answer."""

    name = "vowels"

    def scores(self, samples: Sequence[Sample]) -> list[float]:
        """Return the share for each answer."""
        return [share_of(sample.text, "aeiou") for sample in samples]


def share_of(text: str, letters: str) -> float:
    """Return which part of a text's characters is among the letters."""
    return sum(letter in letters for letter in text) / max(1, len(text))


def asked(count: int = 16) -> list[Prompt]:
    """Return short prompts."""
    return [Prompt.of((Message(role="user", content=f"q{number}"),)) for number in range(count)]


def taught(count: int = 16) -> list[TaughtPrompt]:
    """Return short prompts, and system messages of different lengths that the teacher sees before them."""
    return [
        TaughtPrompt(prompt, (Turn("system", ("Say yes. " * (1 + i % 3),)), *turns_of(prompt.messages)))
        for i, prompt in enumerate(asked(count))
    ]


def answered(count: int = 12) -> list[AnsweredPrompt]:
    """Return prompts with answers of different lengths."""
    questions = [Message(role="user", content=f"What is {i} plus {i}?") for i in range(count)]
    return [AnsweredPrompt(f"{i}", (asked,), "yes " * (1 + i % 4)) for i, asked in enumerate(questions)]


def pairs(count: int = 12, p: float = 0.9) -> list[PreferencePair]:
    """Return as many pairs with one label."""
    other = "I would rather not say."
    return [PreferencePair(row.id, row.prompt, row.answer, other, p) for row in answered(count)]


def job(
    method: Method,
    folder: Path,
    model: str,
    start: Path | None = None,
    optim: OptimConfig = OPTIM,
    learning_rate: float = 1e-3,
) -> TrainingJob:
    """Return a job of two epochs on the CPU."""
    return TrainingJob(
        method, folder, ModelConfig(id=model), SMALL, optim, learning_rate, 2.0, 0, device="cpu", start=start
    )


def train(
    method: Method, folder: Path, model: str, start: Path | None = None, count: int = 12
) -> TrainingResult:
    """Run a job of any method."""
    own = job(method, folder, model, start)
    if method == "ppo":
        return train_ppo(
            RLTask(asked(count), [WeightedReward(Vowels())]),
            own,
            PPO.model_copy(update={"steps": 2 * count}),
        )
    if method == "distill":
        return train_distill(taught(count), own, DISTILL.model_copy(update={"steps": 2 * count}))
    task = RLTask(asked(count), [WeightedReward(Vowels())])
    if method == "rloo":
        return train_rloo(task, own, RLOO.model_copy(update={"steps": 2 * count}))
    if method == "grpo":
        return train_grpo(task, own, GRPO.model_copy(update={"steps": 2 * count}))
    if method == "sft":
        return train_sft(answered(count), own)
    if method == "reward":
        return train_reward(pairs(count), own, RewardConfig())[0]
    return train_dpo(pairs(count), own, DPO)


if __name__ == "__main__":
    to, model_folder, *wanted = sys.argv[1:]  # and each method with the number of its examples
    for method, examples in (one.split(":") for one in wanted):
        known = next(name for name in METHODS if name == method)
        train(known, Path(to) / method, model_folder, None, int(examples))
    assert "vllm" not in sys.modules  # it lives in processes of its own
    print(f"process {rank()} of {world_size()}")  # noqa: T201
