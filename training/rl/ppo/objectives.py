"""What differs between the three methods: how scores become advantages, and how token losses are weighted.

    PPO     advantages by a critic, which learns too; the KL penalty is part of each token's reward
    RLOO    leave-one-out advantages; the KL penalty is part of an answer's reward; ratios of whole answers
    GRPO    group-relative advantages; the KL penalty is part of the loss; `loss_type` weighs the tokens

`docs/methods.md` names every formula with its source.

Shapes: `N` answers, the answers of each prompt together, `A` tokens of the longest answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from training.rl.config import LoopConfig, PPOConfig, RLOOConfig
from training.rl.kl import k1
from training.rl.ppo.advantages import gae, group_relative, leave_one_out, token_rewards, whiten
from training.rl.ppo.experience import Experience
from training.rl.ppo.losses import (
    TokenLosses,
    kl_losses,
    policy_losses,
    sampler_weights,
    sums_of_answers,
    token_weights,
)
from training.rl.rollouts import Rollout


def scores_of(
    rollouts: Sequence[Rollout], totals: Sequence[float | None], missing_eos_penalty: float
) -> torch.Tensor:
    """Return the reward (N,) of each answer, minus the penalty if it was truncated; nan if unscored."""
    paid = torch.tensor([torch.nan if total is None else total for total in totals])
    cut = torch.tensor([not rollout.drawn.finished for rollout in rollouts])
    return torch.where(cut, paid - missing_eos_penalty, paid)


def estimate_advantages(
    experience: Experience, scores: torch.Tensor, config: LoopConfig, kl_coef: float, micro_batch: int
) -> None:
    """Fill in advantages, weights and, for a critic, rewards and returns.

    Args:
        experience: the step's answers with the models' outputs.
        scores: (N,) reward of each answer; nan where it could not be scored.
        config: the method's settings; its class says which method.
        kl_coef: reward subtracted per nat of divergence.
        micro_batch: answers that GRPO's `bnpo` normalises together.
    """
    mask, counted = experience.mask, experience.counted
    ours, theirs = experience.logprobs, experience.sampler
    divergence = k1(experience.logratios)
    if isinstance(config, PPOConfig):
        # An unscored answer must not train the critic either: its target would be a reward of 0.
        counted = counted & ~scores.isnan()[:, None]
        experience.rewards = token_rewards(scores.nan_to_num(nan=0.0), divergence, mask, kl_coef)
        advantages, experience.returns = gae(
            experience.rewards, experience.values, mask, config.gamma, config.lam
        )
        experience.advantages = whiten(advantages, counted) if config.whiten else advantages
        experience.weights = torch.where(counted, sampler_weights(ours, theirs, config.sampler_cap), 0.0)
        return
    if isinstance(config, RLOOConfig):
        earned = scores - kl_coef * divergence.masked_fill(~counted, 0.0).sum(dim=1)
        advantages = leave_one_out(earned, config.samples, normalize=config.normalize_advantages)
        # The loss has one ratio per answer, and so has the correction; `grpo` weights all answers equally.
        ours, theirs = (m.masked_fill(~counted, 0.0).sum(dim=1, keepdim=True) for m in (ours, theirs))
        shares = token_weights(counted, "grpo", config.max_new_tokens, micro_batch)
    else:
        advantages = group_relative(scores, config.samples, config.scale_rewards)
        shares = token_weights(counted, config.loss_type, config.max_new_tokens, micro_batch)
    experience.advantages = advantages[:, None].expand(mask.shape)
    gap = sampler_weights(ours, theirs, config.sampler_cap)
    experience.weights = (gap * shares).to(gap.dtype)


def token_losses(
    logprobs: torch.Tensor, experience: Experience, rows: torch.Tensor, config: LoopConfig
) -> TokenLosses:
    """Return the policy's loss for each token of the given answers, concatenated.

    Args:
        logprobs: log-probabilities of these tokens under the policy, with gradient.
        experience: the step's answers, with advantages.
        rows: the indices of the answers.
        config: the method's settings.
    """
    old, advantages, reference = experience.known(rows, logprobs, "logprobs", "advantages", "reference")
    if isinstance(config, RLOOConfig):
        lengths = experience.mask[rows].sum(dim=1)
        whole, old_whole = (sums_of_answers(values, lengths) for values in (logprobs, old))
        return policy_losses(whole, old_whole, advantages, config.clip)
    losses, clipped = policy_losses(logprobs, old, advantages, config.clip)
    if isinstance(config, PPOConfig):
        return TokenLosses(losses, clipped)
    return TokenLosses(losses + config.kl_coef * kl_losses(logprobs, old, reference), clipped)


def loss_divisor(weights: torch.Tensor, config: LoopConfig) -> int:
    """Return the divisor of a minibatch's weighted token losses: number of tokens in PPO, else of answers.

    Args:
        weights: weights of the minibatch's tokens, (n, A); 0 for tokens that are not trained on.
        config: the method's settings.
    """
    return int((weights > 0).sum()) if isinstance(config, PPOConfig) else len(weights)
