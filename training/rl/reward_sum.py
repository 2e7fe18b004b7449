"""The sum of several rewards: weighted, normalised and clipped, with each reward logged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from core.errors import DataError, PubliusError
from core.rewards import Reward, Sample

Normalise = Literal["none", "running"]
Scores = dict[str, float | None]
"""Scores of one answer, by reward."""


@dataclass
class RunningMoments:
    """Mean and variance of all numbers seen so far (Chan et al. 1979, "Updating formulae")."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean."""

    def update(self, values: Sequence[float]) -> None:
        """Include more numbers."""
        if not values:
            return
        mean = math.fsum(values) / len(values)
        squares = math.fsum((value - mean) ** 2 for value in values)
        total, apart = self.count + len(values), mean - self.mean
        self.squares += squares + apart**2 * self.count * len(values) / total
        self.mean += apart * len(values) / total
        self.count = total

    @property
    def std(self) -> float:
        """Standard deviation; 1 if all numbers were equal, which makes it safe to divide by."""
        variance = self.squares / self.count if self.count else 0.0
        return math.sqrt(variance) if variance > 1e-12 else 1.0


@dataclass(frozen=True)
class WeightedReward:
    """A reward with its weight in the sum."""

    reward: Reward
    weight: float = 1.0


class RewardSum:
    """The sum of rewards.

    Args:
        rewards: the terms, with distinct names.
        normalise: `running` subtracts the mean of all sums so far and divides by their standard deviation.
        clip: bound on the absolute value of a sum; None for no bound.
    """

    def __init__(
        self, rewards: Sequence[WeightedReward], normalise: Normalise = "none", clip: float | None = None
    ) -> None:
        assert len({entry.reward.name for entry in rewards}) == len(rewards) > 0
        self._rewards = tuple(rewards)
        self._normalise, self._clip = normalise, clip
        self._moments = RunningMoments()

    def score(self, samples: Sequence[Sample]) -> list[Scores]:
        """Return the score of each answer by each reward.

        Raises:
            DataError: if a reward fails, or returns the wrong number of scores or one that is not finite.
        """
        columns = {entry.reward.name: reward_scores(entry.reward, samples) for entry in self._rewards}
        return [{name: column[row] for name, column in columns.items()} for row in range(len(samples))]

    def sums(self, scores: Sequence[Scores]) -> list[float | None]:
        """Return each answer's weighted sum, not normalised or clipped; None if a reward has no score."""
        return [self._sum(row) for row in scores]

    def totals(self, scores: Sequence[Scores]) -> list[float | None]:
        """Return the reward of each answer of a batch of all processes; None if a reward has no score."""
        sums = self.sums(scores)
        if self._normalise == "running":
            self._moments.update([value for value in sums if value is not None])
            mean, std = self._moments.mean, self._moments.std
            sums = [value if value is None else (value - mean) / std for value in sums]
        clip = math.inf if self._clip is None else self._clip
        return [value if value is None else min(max(value, -clip), clip) for value in sums]

    def state(self) -> dict[str, Any]:
        """Return the running moments, for a checkpoint."""
        return asdict(self._moments)

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore the running moments of a checkpoint."""
        self._moments = RunningMoments(**state)

    def _sum(self, scores: Scores) -> float | None:
        parts = [(entry.weight, scores[entry.reward.name]) for entry in self._rewards]
        if any(value is None for _, value in parts):
            return None
        return math.fsum(weight * value for weight, value in parts if value is not None)


def reward_scores(reward: Reward, samples: Sequence[Sample]) -> list[float | None]:
    """Return a reward's scores as floats.

    Raises:
        DataError: if it fails, or returns the wrong number of scores or one that is not finite.
    """
    where = f"reward {reward.name!r}"
    if not samples:
        return []
    try:
        given = reward.scores(samples)
    except PubliusError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise DataError(f"it raised {type(error).__name__}: {error}", where=where) from error
    accepted = "a sequence with one finite number, or None, for each answer"
    try:
        scores = [None if score is None else float(score) for score in given]
    except (TypeError, ValueError) as error:
        raise DataError(f"it returned {_shown(given)}", where=where, accepted=accepted) from error
    if len(scores) != len(samples):
        found = f"it returned {len(scores)} scores for {len(samples)} answers"
        raise DataError(found, where=where, accepted=accepted)
    for score, sample in zip(scores, samples, strict=True):
        if score is not None and not math.isfinite(score):
            raise DataError(
                f"it returned {score} for the answer {sample.text[:60]!r}", where=where, accepted=accepted
            )
    return scores


def _shown(given: object) -> str:
    return f"{given!r}"[:60]
