"""Advantage estimators: generalised advantage estimation (PPO), leave-one-out (RLOO), group mean (GRPO).

Shapes: `N` answers, `A` answer tokens, padded on the right to the longest. `mask` (N, A) is True for real
tokens; other entries are ignored and come out as 0. Rewards of whole answers are (N,), the answers of each
prompt together, and nan where an answer could not be scored.
"""

from __future__ import annotations

from typing import Literal

import torch

_SMALL = 1e-8
_STD_OFFSET = 1e-4
"""Added to a standard deviation before dividing by it, as TRL does."""


def token_rewards(
    scores: torch.Tensor, penalties: torch.Tensor, mask: torch.Tensor, kl_coef: float
) -> torch.Tensor:
    """Return (N, A) rewards: each token pays for its divergence, the last one earns the answer's score.

    r_t = -kl_coef * penalty_t + [t is the last token] * score (Ziegler et al. 2019, arXiv 1909.08593,
    equation 2; Stiennon et al. 2020, arXiv 2009.01325, section 3.4).

    Args:
        scores: (N,) of whole answers.
        penalties: (N, A) divergence of each token from the reference in nats (`training/rl/kl.py`).
        mask: (N, A).
        kl_coef: reward subtracted per nat.
    """
    rewards = -kl_coef * penalties.masked_fill(~mask, 0.0)
    last = mask.sum(dim=1) - 1
    rewards[torch.arange(len(scores)), last] += scores
    return rewards


def gae(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gamma: float, lam: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return advantages and returns, both (N, A), by generalised advantage estimation.

    delta_t = r_t + gamma * V_{t+1} - V_t, advantage_t = delta_t + gamma * lam * advantage_{t+1}, with V = 0
    after the last token, and return = advantage + V: Schulman et al. 2015, arXiv 1506.02438, equations 11
    and 16. With lam = 1 the returns are the discounted sums of rewards; with lam = 0 the advantages are the
    deltas.

    Args:
        rewards: (N, A).
        values: (N, A) the critic's estimate before each token is drawn.
        mask: (N, A).
        gamma: discount per token.
        lam: weight of longer looks ahead.
    """
    advantages = torch.zeros_like(rewards)
    after, following = torch.zeros_like(rewards[:, 0]), torch.zeros_like(rewards[:, 0])
    for t in range(rewards.shape[1] - 1, -1, -1):
        real = mask[:, t]
        delta = rewards[:, t] + gamma * following - values[:, t]
        # Padding is on the right, so nothing flows from it into the last real token.
        after = torch.where(real, delta + gamma * lam * after, 0.0)
        following = torch.where(real, values[:, t], 0.0)
        advantages[:, t] = after
    return advantages, torch.where(mask, advantages + values, 0.0)


def leave_one_out(rewards: torch.Tensor, samples: int, *, normalize: bool = False) -> torch.Tensor:
    """Return RLOO's advantages (N,): each reward minus the mean reward of the prompt's other answers.

    Ahmadian et al. 2024, arXiv 2402.14740, section 3.3; Kool et al. 2019, "Buy 4 REINFORCE samples".

    Args:
        rewards: (N,); an unscored answer is not part of any baseline and has advantage 0.
        samples: answers per prompt.
        normalize: whether to scale the advantages to mean 0 and standard deviation 1 over all answers.
    """
    groups = rewards.view(-1, samples)
    others = (~groups.isnan()).sum(dim=1, keepdim=True) - 1
    baselines = (groups.nansum(dim=1, keepdim=True) - groups) / others
    advantages = rewards - baselines.flatten()
    if normalize:
        advantages = (advantages - advantages.nanmean()) / (_std(advantages, 0) + _STD_OFFSET)
    # An only scored answer has no others: its baseline is 0/0, and it has no advantage either.
    return advantages.nan_to_num(nan=0.0)


def group_relative(
    rewards: torch.Tensor, samples: int, scale: Literal["batch", "group", "none"]
) -> torch.Tensor:
    """Return GRPO's advantages (N,): each reward minus the mean reward of the prompt's answers, scaled.

    Shao et al. 2024, arXiv 2402.03300, section 4.1.2 (`group`); Liu et al. 2025, "Dr. GRPO", arXiv
    2503.20783 (`none`); arXiv 2508.08221 (`batch`).

    Args:
        rewards: (N,); an unscored answer is not part of any mean and has advantage 0.
        samples: answers per prompt.
        scale: whose standard deviation the differences are divided by: all answers', the prompt's, or none.
    """
    groups = rewards.view(-1, samples)
    advantages = groups - groups.nanmean(dim=1, keepdim=True)
    if scale != "none":
        std = _std(rewards, 0) if scale == "batch" else _std(groups, 1)[:, None]
        advantages = advantages / (std + _STD_OFFSET)
    return advantages.flatten().nan_to_num(nan=0.0)


def equal_share(groups: torch.Tensor) -> float:
    """Return the share of prompts whose scored answers all have the same reward: no answer is better.

    Args:
        groups: (G, n) rewards of each prompt's answers; nan if unscored.
    """
    low, high = (groups.nan_to_num(nan=end) for end in (torch.inf, -torch.inf))
    return float((low.amin(dim=1) >= high.amax(dim=1)).float().mean())


def whiten(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the values with mean 0 and standard deviation 1 over all real tokens, and 0 elsewhere."""
    real = values[mask]
    if real.numel() < 2:
        return torch.where(mask, values, 0.0)
    scale = torch.rsqrt(real.var(unbiased=False) + _SMALL)
    return torch.where(mask, (values - real.mean()) * scale, 0.0)


def explained_variance(values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor) -> float:
    """Return 1 - Var(return - value) / Var(return): 1 for a perfect critic, 0 for a constant; nan if none."""
    real = returns[mask]
    if real.numel() < 2:
        return float("nan")
    variance = real.var(unbiased=False)
    if variance <= _SMALL:
        return float("nan")
    return float(1 - (real - values[mask]).var(unbiased=False) / variance)


def _std(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Return the unbiased standard deviation of what is not nan; nan where fewer than two numbers are."""
    apart = values - values.nanmean(dim=dim, keepdim=True)
    return (apart.square().nansum(dim=dim) / ((~values.isnan()).sum(dim=dim) - 1)).sqrt()
