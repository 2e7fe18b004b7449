"""What is logged of one PPO step; names are TRL's where TRL has one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, pstdev

import torch

from core.phrases import boilerplate_share
from core.repetition import is_repetitive
from training.advantages import explained_variance
from training.experience import Experience
from training.kl import k2, k3
from training.ppo_alarms import KL, LENGTH
from training.ppo_losses import ratio_of
from training.rollouts import Rollout

Metrics = dict[str, float]
GAP = "sampling/sampling_logp_difference/mean"
"""Nats by which the log-probabilities of the same tokens differ between trainer and sampler."""


def step_metrics(
    experience: Experience, rollouts: Sequence[Rollout], totals: Sequence[float | None], kl_coef: float
) -> Metrics:
    """Return the figures of a step's answers before the update: divergence in nats, rewards, the answers."""
    kl = _by_answer(experience.logratios, experience)
    known = [total for total in totals if total is not None]
    score = fmean(known) if known else 0.0
    return {
        KL: kl,
        "objective/kl_per_token": float(experience.logratios[experience.mask].mean()),
        "objective/kl_k2": _by_answer(k2(experience.logratios), experience),
        "objective/kl_k3": _by_answer(k3(experience.logratios), experience),
        "objective/entropy": _by_answer(experience.entropies, experience),
        "policy/entropy_avg": float(experience.entropies[experience.mask].mean()),
        "objective/scores": score,
        "objective/non_score_reward": -kl_coef * kl,
        "objective/rlhf_reward": score - kl_coef * kl,
        "kl_coef": kl_coef,
        **_critic(experience),
        **(_sampling(experience) if experience.is_recomputed else {}),
        **reward_metrics("rewards", rollouts),
        **answer_metrics("completions", rollouts),
        "val/num_eos_tokens": float(sum(rollout.drawn.finished for rollout in rollouts)),
    }


def reward_metrics(prefix: str, rollouts: Sequence[Rollout]) -> Metrics:
    """Return mean, standard deviation and missing share of each reward's own scores."""
    found: Metrics = {}
    for name in rollouts[0].scores:
        given = [rollout.scores[name] for rollout in rollouts]
        known = [score for score in given if score is not None]
        if known:
            found |= {f"{prefix}/{name}/mean": fmean(known), f"{prefix}/{name}/std": pstdev(known)}
        if len(known) < len(given):
            found[f"{prefix}/{name}/missing"] = 1 - len(known) / len(given)
    return found


def answer_metrics(prefix: str, rollouts: Sequence[Rollout]) -> Metrics:
    """Return length in tokens, and shares of answers that were cut, repeat themselves or share a phrase."""
    texts = {rollout.prompt.prompt.id: rollout.text for rollout in rollouts}  # one for each prompt
    ended = [len(rollout.drawn.tokens) for rollout in rollouts if rollout.drawn.finished]
    found = {
        f"{prefix}/{LENGTH.rpartition('/')[2]}": fmean(len(rollout.drawn.tokens) for rollout in rollouts),
        f"{prefix}/clipped_ratio": 1 - len(ended) / len(rollouts),
        f"{prefix}/repetitive": fmean(is_repetitive(rollout.text) for rollout in rollouts),
        f"{prefix}/boilerplate": boilerplate_share(texts.values()),
    }
    return found | ({f"{prefix}/mean_terminated_length": fmean(ended)} if ended else {})


def _by_answer(values: torch.Tensor, experience: Experience) -> float:
    """Return the mean over answers of the sum over tokens."""
    return float(torch.where(experience.mask, values, 0.0).sum(dim=1).mean())


def _critic(experience: Experience) -> Metrics:
    explained = explained_variance(experience.values, experience.returns, experience.weights > 0)
    return {} if math.isnan(explained) else {"critic/explained_variance": explained}


def _sampling(experience: Experience) -> Metrics:
    """Return how far the trainer's log-probabilities lie from the sampler's."""
    ours, theirs = experience.logprobs[experience.mask], experience.sampler[experience.mask]
    apart, ratio = (ours - theirs).abs(), ratio_of(ours, theirs)
    return {
        GAP: float(apart.mean()),
        "sampling/sampling_logp_difference/max": float(apart.max()),
        "sampling/importance_sampling_ratio/min": float(ratio.min()),
        "sampling/importance_sampling_ratio/mean": float(ratio.mean()),
        "sampling/importance_sampling_ratio/max": float(ratio.max()),
    }
