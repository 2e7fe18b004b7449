"""What a training by RLOO or GRPO is put together from, and what is known of a step's answers.

Shapes: `N` answers, `A` tokens of the longest answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from core.lazy import require
from training.policy import TRAIN_EXTRA
from training.processes import gathered
from training.rl.config import GroupConfig
from training.rl.rollouts import Drawn, Sampler
from training.rl.task import RLData, prompt_at


@dataclass(frozen=True)
class GroupParts:
    """What a training is put together from, besides the policy."""

    seed: int
    data: RLData
    sampler: Sampler
    read: Callable[[Drawn], str]
    """Returns an answer as a user would read it."""
    tokenizer: Any


@dataclass(frozen=True)
class StepTokens:
    """What is known of the tokens of answers before the update: (N, A) each."""

    mask: torch.Tensor
    sampler: torch.Tensor
    logprobs: torch.Tensor
    reference: torch.Tensor
    entropies: torch.Tensor

    @classmethod
    def together(cls, parts: Sequence[StepTokens]) -> StepTokens:
        """Return the answers of several batches, filled up to the longest one."""
        longest = max(part.mask.shape[1] for part in parts)
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*(torch.cat([_widened(m, longest) for m in column]) for column in columns))


def prompts_in_order(parts: GroupParts, config: GroupConfig) -> Any:
    """Return TRL's data set: the numbers of the prompts in the order in which they are asked."""
    places = range(config.steps * config.rollouts // config.num_generations)
    numbers = [str(prompt_at(parts.seed, place, len(parts.data.prompts))) for place in places]
    return require("datasets", TRAIN_EXTRA).Dataset.from_dict({"prompt": numbers})


def all_of(own: Sequence[Any]) -> list[Any]:
    """Return the rows of all processes, each process's together: so TRL deals out prompts."""
    return [row for rows in gathered([list(own)]) for row in rows]


def share_alike(paid: Sequence[float | None], group: int) -> float:
    """Return the share of prompts whose answers all earn the same, so that nothing is learned from them.

    Args:
        paid: what each answer earns, a prompt's answers together; None where it could not be scored.
        group: answers to a prompt.
    """
    groups = [set(paid[first : first + group]) - {None} for first in range(0, len(paid), group)]
    return sum(len(earned) <= 1 for earned in groups) / len(groups)


def _widened(matrix: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(matrix, (0, width - matrix.shape[1]))
