"""Losses of policy and critic, one value per token, and the weights with which the tokens are summed.

Shapes: `N` answers, `A` answer tokens of any number of answers.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

from training.rl.kl import k3, ratio_of


class TokenLosses(NamedTuple):
    """Losses, and where they were clipped."""

    losses: torch.Tensor
    """(A,), with gradient."""
    clipped: torch.Tensor
    """(A,) True where the clipped term is the larger one: the token has no gradient."""


def policy_losses(
    logprobs: torch.Tensor, old_logprobs: torch.Tensor, advantages: torch.Tensor, clip: float
) -> TokenLosses:
    """Return -min(ratio * advantage, clip(ratio, 1 - clip, 1 + clip) * advantage).

    Schulman et al. 2017, arXiv 1707.06347, equation 7, negated.

    Args:
        logprobs: (A,) of the tokens under the policy, with gradient; or, where the ratio is that of the whole
            answer, the answer's, once for each of its tokens.
        old_logprobs: (A,) under the policy that drew them.
        advantages: (A,).
        clip: distance from 1 at which the ratio is clipped.
    """
    ratio = ratio_of(logprobs, old_logprobs)
    free = -advantages * ratio
    held = -advantages * ratio.clamp(1 - clip, 1 + clip)
    return TokenLosses(torch.maximum(free, held), held > free)


def kl_losses(logprobs: torch.Tensor, old_logprobs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return (A,) GRPO's divergence from the reference: k3 times the probability ratio, with gradient.

    k3 is equation 4 of Shao et al. 2024, arXiv 2402.03300. Its own gradient is not that of the divergence;
    the ratio, which is 1 in value on the policy's own tokens, corrects it (DeepSeek-AI 2025, arXiv
    2512.02556).

    Args:
        logprobs: (A,) of the tokens under the policy, with gradient.
        old_logprobs: (A,) under the policy that drew them.
        reference: (A,) under the reference.
    """
    return k3(logprobs - reference) * ratio_of(logprobs, old_logprobs)


def sums_of_answers(values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return (A,) the sum over the tokens of each answer, once for each of its tokens.

    Args:
        values: (A,) values of concatenated answers.
        lengths: (N,) tokens of each answer.
    """
    answer = torch.arange(len(lengths), device=values.device).repeat_interleave(lengths.to(values.device))
    return values.new_zeros(len(lengths)).index_add(0, answer, values)[answer]


def token_weights(
    mask: torch.Tensor, loss_type: Literal["dapo", "dr_grpo", "grpo", "bnpo"], most: int, block: int
) -> torch.Tensor:
    """Return the weight of each token, (N, A) in float64, in a sum that is then divided by N.

    Yu et al. 2025, "DAPO", arXiv 2503.14476 (`dapo`: all tokens count alike); Liu et al. 2025, "Dr. GRPO",
    arXiv 2503.20783 (`dr_grpo`: by a constant); Shao et al. 2024, arXiv 2402.03300 (`grpo`: all answers count
    alike); TRL (`bnpo`: as `dapo` within each block of answers).

    Args:
        mask: (N, A) True for tokens that count.
        loss_type: as above.
        most: tokens that an answer can have, for `dr_grpo`.
        block: answers that are normalised together, for `bnpo`.
    """
    answers, wide = len(mask), mask.double()
    if loss_type == "dr_grpo":
        return wide / most
    blocks = torch.split(wide, {"dapo": answers, "grpo": 1, "bnpo": block}[loss_type])
    return torch.cat([part * (len(part) / part.sum().clamp(min=1)) for part in blocks])


def value_losses(
    values: torch.Tensor, old_values: torch.Tensor, returns: torch.Tensor, clip: float | None
) -> TokenLosses:
    """Return half the squared error of the critic's value, or of its clipped value if that is larger.

    max((V - R)^2, (clip(V, V_old - clip, V_old + clip) - R)^2) / 2, as in the code of Schulman et al. 2017
    and in Stiennon et al. 2020.

    Args:
        values: (A,) the critic's estimates, with gradient.
        old_values: (A,) before the update.
        returns: (A,) their targets.
        clip: distance from its old value at which a value is clipped; None never clips.
    """
    free = (values - returns).square() / 2
    if clip is None:
        return TokenLosses(free, torch.zeros_like(free, dtype=torch.bool))
    near = old_values + (values - old_values).clamp(-clip, clip)
    held = (near - returns).square() / 2
    return TokenLosses(torch.maximum(free, held), held > free)


def sampler_weights(logprobs: torch.Tensor, sampler_logprobs: torch.Tensor, cap: float) -> torch.Tensor:
    """Return (A,) truncated importance weights min(p_trainer / p_sampler, cap).

    The tokens may be drawn by another program than the one that trains, whose probabilities differ by
    rounding or by a stale weight; the weights correct for that (Ionides 2008, "Truncated importance
    sampling"; Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training").

    Args:
        logprobs: (A,) of the drawn tokens as the trainer computes them, before the update.
        sampler_logprobs: (A,) as the sampler gave them.
        cap: largest weight.
    """
    return ratio_of(logprobs, sampler_logprobs).clamp(max=cap)
