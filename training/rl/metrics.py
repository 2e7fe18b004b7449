"""Metrics of a step; their names are TRL's where TRL has one."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, pstdev

import torch

from core.errors import EngineError
from core.text.phrases import boilerplate_share
from core.text.repetition import is_repetitive
from training.processes import gathered
from training.rl.alarms import KL, LENGTH
from training.rl.kl import k2, k3, ratio_of
from training.rl.ppo.advantages import equal_share, explained_variance
from training.rl.ppo.experience import Experience
from training.rl.rollouts import Rollout

Metrics = dict[str, float]
GAP = "sampling/sampling_logp_difference/mean"
"""Mean distance in nats between the log-probabilities of trainer and sampler for the same tokens."""


def step_metrics(
    tokens: Experience,
    rollouts: Sequence[Rollout],
    totals: Sequence[float | None],
    scores: torch.Tensor,
    kl_coef: float,
) -> Metrics:
    """Return the metrics of a step's answers before the update.

    Args:
        tokens: the answers' tokens, with the models' outputs and, for a critic, the returns.
        rollouts: the answers.
        totals: reward of each answer before the penalty for truncation; None if unscored.
        scores: (G, n) reward of each prompt's answers after it; nan if unscored.
        kl_coef: reward subtracted per nat of divergence.
    """
    mask, logratios = tokens.mask, tokens.logratios
    kl = _by_answer(logratios, mask)
    known = [total for total in totals if total is not None]
    score = fmean(known) if known else 0.0
    return {
        KL: kl,
        "objective/kl_per_token": _by_token(logratios, mask),
        "objective/kl_k2": _by_answer(k2(logratios), mask),
        "objective/kl_k3": _by_answer(k3(logratios), mask),
        "objective/entropy": _by_answer(tokens.entropies, mask),
        "policy/entropy_avg": _by_token(tokens.entropies, mask),
        "objective/scores": score,
        "objective/non_score_reward": -kl_coef * kl,
        "objective/rlhf_reward": score - kl_coef * kl,
        "kl_coef": kl_coef,
        **(_sampling(tokens) if tokens.is_recomputed else {}),
        **reward_metrics("rewards", rollouts),
        **answer_metrics("completions", rollouts),
        "val/num_eos_tokens": float(sum(rollout.drawn.finished for rollout in rollouts)),
        **({"frac_reward_zero_std": equal_share(scores)} if scores.shape[1] > 1 else {}),
        **_critic(tokens),
    }


def require_some(totals: Sequence[float | None], step: int, where: str) -> None:
    """Raise EngineError where no answer of a step could be scored."""
    if all(total is None for total in totals):
        raise EngineError(f"no answer of step {step} could be scored", where=where)


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
    """Return length in tokens, and shares of answers that are truncated, repetitive or share a phrase."""
    texts = {rollout.prompt.prompt.id: rollout.text for rollout in rollouts}  # one for each prompt
    ended = [len(rollout.drawn.tokens) for rollout in rollouts if rollout.drawn.finished]
    found = {
        f"{prefix}/{LENGTH.rpartition('/')[2]}": fmean(len(rollout.drawn.tokens) for rollout in rollouts),
        f"{prefix}/clipped_ratio": 1 - len(ended) / len(rollouts),
        f"{prefix}/repetitive": fmean(is_repetitive(rollout.text) for rollout in rollouts),
        f"{prefix}/boilerplate": boilerplate_share(texts.values()),
    }
    return found | ({f"{prefix}/mean_terminated_length": fmean(ended)} if ended else {})


def _by_answer(values: torch.Tensor, mask: torch.Tensor) -> float:
    """Return the mean over answers that have tokens of the sum over tokens; 0 where none has any."""
    answers = int(mask.any(dim=1).sum())
    return float(torch.where(mask, values, 0.0).sum()) / max(1, answers)


def _by_token(values: torch.Tensor, mask: torch.Tensor) -> float:
    """Return the mean over tokens; 0 where there are none."""
    return float(values[mask].mean()) if mask.any() else 0.0


def _critic(tokens: Experience) -> Metrics:
    """Return the critic's explained variance, if there is a critic and its targets differ."""
    if not hasattr(tokens, "returns"):
        return {}
    explained = explained_variance(tokens.values, tokens.returns, tokens.weights > 0)
    return {} if math.isnan(explained) else {"critic/explained_variance": explained}


def _sampling(tokens: Experience) -> Metrics:
    """Return the gap between the trainer's log-probabilities and the sampler's."""
    if not tokens.mask.any():
        return {}
    ours, theirs = tokens.logprobs[tokens.mask], tokens.sampler[tokens.mask]
    apart, ratio = (ours - theirs).abs(), ratio_of(ours, theirs)
    return {
        GAP: float(apart.mean()),
        "sampling/sampling_logp_difference/max": float(apart.max()),
        "sampling/importance_sampling_ratio/min": float(ratio.min()),
        "sampling/importance_sampling_ratio/mean": float(ratio.mean()),
        "sampling/importance_sampling_ratio/max": float(ratio.max()),
    }


class Averages:
    """Metrics to average: values of this process's tokens, and values per optimizer step (same in all)."""

    def __init__(self, *, measures_gap: bool) -> None:
        self.measures_gap = measures_gap
        """True while the policy is still the one that drew the answers."""
        self._sums: dict[str, tuple[float, float]] = {}
        self._numbers: dict[str, list[float]] = defaultdict(list)

    def add(self, name: str, values: torch.Tensor, count: int | None = None) -> None:
        """Add one value per token; their sum is divided by `count` or, if not given, the number of tokens."""
        total, tokens = self._sums.get(name, (0.0, 0.0))
        added = values.detach().double().sum().item()
        self._sums[name] = (total + added, tokens + (values.numel() if count is None else count))

    def note(self, name: str, number: float) -> None:
        """Add a value of one optimizer step."""
        self._numbers[name].append(number)

    def means(self) -> dict[str, float]:
        """Return the means over the tokens of all processes, and over optimizer steps."""
        sums = [*gathered([self._sums])]  # a process without a micro-batch lacks some names
        means: dict[str, float] = {}
        for name in dict.fromkeys(name for part in sums for name in part):
            totals, counts = zip(*(part[name] for part in sums if name in part), strict=True)
            means |= {name: sum(totals) / sum(counts)} if any(counts) else {}
        if "val/ratio" in means:
            means["val/ratio_var"] = max(0.0, means.pop("val/ratio_squared") - means["val/ratio"] ** 2)
        norms = {f"{name}_max": max(v) for name, v in self._numbers.items() if name.endswith("grad_norm")}
        return means | {name: sum(v) / len(v) for name, v in self._numbers.items()} | norms
