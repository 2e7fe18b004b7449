"""What reinforcement learning asks of a reward, which several rooms speak: training, labelers, publius."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.records import Prompt


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer that the policy gave, to be rewarded."""

    prompt: Prompt
    text: str
    """The answer as a user would read it: think blocks and special tokens left out."""
    finished: bool
    """Whether the model ended it; otherwise it was cut at the most tokens."""


class Reward(Protocol):
    """Scores answers: higher is better."""

    @property
    def name(self) -> str:
        """What its figures are logged under, as `rewards/<name>/mean`."""
        ...

    def scores(self, samples: Sequence[Sample]) -> Sequence[float | None]:
        """Return one finite number for each answer; None for one that it cannot score."""
        ...
