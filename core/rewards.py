"""The reward interface of reinforcement learning, shared by the packages training, labelers and publius."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from core.records import Prompt


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer sampled from the policy, to be scored."""

    prompt: Prompt
    text: str
    """The answer as a user would read it, without think blocks and special tokens."""
    finished: bool
    """True if the model ended the answer itself; False if it was cut off at the token limit."""


class Reward(Protocol):
    """Interface of a reward: scores answers, higher is better."""

    @property
    def name(self) -> str:
        """Name under which its metrics are logged, as in `rewards/<name>/mean`."""
        ...

    def scores(self, samples: Sequence[Sample]) -> Sequence[float | None]:
        """Return one finite number for each answer; None for an answer that it cannot score."""
        ...


@runtime_checkable
class LoadedReward(Protocol):
    """A reward that runs a model of its own, which can be loaded before the first answer."""

    def load(self) -> None:
        """Load the model, so that others know how much memory is left."""
        ...
