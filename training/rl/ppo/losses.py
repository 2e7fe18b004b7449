"""PPO's losses, one value for each token; the caller weighs, sums and divides.

Shapes: `A` answer tokens of any number of answers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from training.rl.kl import ratio_of


class TokenLosses(NamedTuple):
    """Losses, and where clipping held them."""

    losses: torch.Tensor
    """(A,), with gradient."""
    clipped: torch.Tensor
    """(A,) True where the clipped term decides, so that the token pushes nothing."""


def policy_losses(
    logprobs: torch.Tensor, old_logprobs: torch.Tensor, advantages: torch.Tensor, clip: float
) -> TokenLosses:
    """Return -min(ratio * advantage, clip(ratio, 1 - clip, 1 + clip) * advantage).

    Schulman et al. 2017, arXiv 1707.06347, equation 7, negated.

    Args:
        logprobs: (A,) of the tokens under the policy, with gradient.
        old_logprobs: (A,) under the policy that drew them.
        advantages: (A,).
        clip: how far a ratio may move from 1.
    """
    ratio = ratio_of(logprobs, old_logprobs)
    free = -advantages * ratio
    held = -advantages * ratio.clamp(1 - clip, 1 + clip)
    return TokenLosses(torch.maximum(free, held), held > free)


def value_losses(
    values: torch.Tensor, old_values: torch.Tensor, returns: torch.Tensor, clip: float | None
) -> TokenLosses:
    """Return half the squared error of the critic, the larger of it free and of it held near its old value.

    max((V - R)^2, (clip(V, V_old - clip, V_old + clip) - R)^2) / 2, as in the code of Schulman et al. 2017
    and in Stiennon et al. 2020.

    Args:
        values: (A,) the critic's estimates, with gradient.
        old_values: (A,) before the update.
        returns: (A,) what they should have been.
        clip: how far a value may move; None lets it go anywhere.
    """
    free = (values - returns).square() / 2
    if clip is None:
        return TokenLosses(free, torch.zeros_like(free, dtype=torch.bool))
    near = old_values + (values - old_values).clamp(-clip, clip)
    held = (near - returns).square() / 2
    return TokenLosses(torch.maximum(free, held), held > free)


def sampler_weights(logprobs: torch.Tensor, sampler_logprobs: torch.Tensor, cap: float) -> torch.Tensor:
    """Return (A,) truncated importance weights min(p_trainer / p_sampler, cap).

    The tokens were drawn by another program than the one that trains, whose probabilities differ by rounding
    (or by a stale weight); the weights make up for that (Ionides 2008, "Truncated importance sampling"; Yao
    et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training").

    Args:
        logprobs: (A,) of the drawn tokens as the trainer computes them, before the update.
        sampler_logprobs: (A,) as the sampler gave them.
        cap: largest weight.
    """
    return ratio_of(logprobs, sampler_logprobs).clamp(max=cap)
