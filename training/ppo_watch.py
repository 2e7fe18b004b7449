"""A look at held-out prompts: what is rewarded, beside what is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from core.rewards import Reward
from training.ppo_alarms import EVAL_GOLD, EVAL_REWARD
from training.ppo_figures import Metrics, answer_metrics, reward_metrics
from training.processes import gathered, share
from training.reward_sum import RewardSum, scores_of
from training.rollouts import Rollout


def watched(rollouts: Sequence[Rollout], rewards: RewardSum, gold: Reward) -> Metrics:
    """Return the figures of answers to held-out prompts; each process scores its share.

    Args:
        rollouts: one answer to each prompt, not scored yet.
        rewards: what is learned from; its running scale stays as it is.
        gold: what is not.
    """
    own = share(rollouts)
    samples = [rollout.sample for rollout in own]
    pairs = list(zip(rewards.score(samples), scores_of(gold, samples), strict=True))
    found: list[tuple[dict[str, float | None], float | None]] = gathered(pairs)
    scored = [replace(rollout, scores=row) for rollout, (row, _) in zip(rollouts, found, strict=True)]
    return {
        EVAL_REWARD: _mean(rewards.totals([row for row, _ in found], learns=False)),
        EVAL_GOLD: _mean([score for _, score in found]),
        **reward_metrics("eval", scored),
        **answer_metrics("eval", scored),
    }


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return fmean(known) if known else 0.0
