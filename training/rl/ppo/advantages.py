"""From rewards to advantages: KL penalty, generalised advantage estimation, whitening.

Shapes: `N` answers, `A` answer tokens, padded on the right to the longest. `mask` (N, A) is True for real
tokens; what stands elsewhere is never read and comes out as 0.
"""

from __future__ import annotations

import torch

_SMALL = 1e-8


def token_rewards(
    scores: torch.Tensor, penalties: torch.Tensor, mask: torch.Tensor, kl_coef: float
) -> torch.Tensor:
    """Return (N, A) rewards: each token pays for its divergence, the last real one earns the score.

    r_t = -kl_coef * penalty_t + [t is the last token] * score (Ziegler et al. 2019, arXiv 1909.08593,
    equation 2; Stiennon et al. 2020, arXiv 2009.01325, section 3.4).

    Args:
        scores: (N,) of whole answers.
        penalties: (N, A) divergence of each token from the reference in nats (`training/rl/kl.py`).
        mask: (N, A).
        kl_coef: reward that a nat costs.
    """
    rewards = -kl_coef * penalties.masked_fill(~mask, 0.0)
    last = mask.sum(dim=1) - 1
    rewards[torch.arange(len(scores)), last] += scores
    return rewards


def gae(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gamma: float, lam: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return advantages and returns, both (N, A).

    delta_t = r_t + gamma * V_{t+1} - V_t, advantage_t = delta_t + gamma * lam * advantage_{t+1}, with V = 0
    behind the last token, and return = advantage + V: Schulman et al. 2015, arXiv 1506.02438, equations 11
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
        after = torch.where(real, delta + gamma * lam * after, 0.0)
        following = torch.where(real, values[:, t], 0.0)
        advantages[:, t] = after
    return advantages, torch.where(mask, advantages + values, 0.0)


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
