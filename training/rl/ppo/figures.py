"""What is logged of one PPO step: what every method that learns from rewards logs, and the critic's."""

from __future__ import annotations

import math
from collections.abc import Sequence

from training.rl.metrics import Metrics, policy_metrics
from training.rl.ppo.advantages import explained_variance
from training.rl.ppo.experience import Experience
from training.rl.rollouts import Rollout


def step_metrics(
    experience: Experience, rollouts: Sequence[Rollout], totals: Sequence[float | None], kl_coef: float
) -> Metrics:
    """Return the figures of a step's answers before the update."""
    explained = explained_variance(experience.values, experience.returns, experience.weights > 0)
    critic = {} if math.isnan(explained) else {"critic/explained_variance": explained}
    return policy_metrics(experience, rollouts, totals, kl_coef) | critic
