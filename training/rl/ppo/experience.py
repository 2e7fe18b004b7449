"""A step's answers as tensors: what PPO's update reads.

Shapes: `G` prompts, `N` answers in order of the prompts, `A` tokens of the longest answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from engines.hf.packing import PackedRow
from engines.trees import Tree, micro_batches
from training.processes import process_rows, summed
from training.rl.config import PPOConfig
from training.rl.kl import k1
from training.rl.metrics import Metrics, policy_metrics
from training.rl.ppo.actor_critic import ActorCritic
from training.rl.ppo.advantages import explained_variance, gae, token_rewards, whiten
from training.rl.ppo.losses import sampler_weights
from training.rl.rollouts import Rollout

_MORE = 4
"""Times as many tokens go through the model together where no gradient is wanted, and less is kept."""
_FIGURES = ("logprobs", "entropies", "reference", "values")
_Reader = Callable[[PackedRow], dict[str, torch.Tensor]]
"""Returns what one of the models says of the tokens of a row's answers."""


@dataclass
class Experience:
    """Answers with all that is known of their tokens: (N, A) unless said otherwise, 0 where no token is."""

    trees: list[Tree]
    """(G,) each prompt with its answers."""
    firsts: list[int]
    """(G + 1,) the number of each prompt's first answer, and the end."""
    mask: torch.Tensor
    """True for real tokens."""
    sampler: torch.Tensor
    """Log-probabilities as the sampler gave them."""
    sampler_entropies: torch.Tensor
    """Entropies as the sampler gave them, if it did."""
    is_recomputed: bool = field(init=False)
    """Whether `logprobs` are the trainer's own, and not the sampler's."""
    logprobs: torch.Tensor = field(init=False)
    """Of the policy before the update."""
    entropies: torch.Tensor = field(init=False)
    reference: torch.Tensor = field(init=False)
    """Log-probabilities of the reference."""
    values: torch.Tensor = field(init=False)
    """Of the critic before the update."""
    rewards: torch.Tensor = field(init=False)
    advantages: torch.Tensor = field(init=False)
    returns: torch.Tensor = field(init=False)
    weights: torch.Tensor = field(init=False)
    """What each token counts: 0 where an answer teaches nothing."""

    @property
    def logratios(self) -> torch.Tensor:
        """Log pi - log ref of each token."""
        return self.logprobs - self.reference

    def rows_of(self, groups: Sequence[int]) -> torch.Tensor:
        """Return the numbers of the answers to the prompts of these numbers, in order."""
        return torch.tensor([row for g in groups for row in range(self.firsts[g], self.firsts[g + 1])])

    def tokens_of(self, matrix: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return a matrix's entries for the real tokens of some answers, one behind the other."""
        return matrix[rows][self.mask[rows]]

    def batches(self, groups: Sequence[int], tokens: int, *, packed: bool) -> list[list[int]]:
        """Return prompts' numbers in micro-batches of at most so many tokens; one each if not packed."""
        sizes = [len(self.trees[group]) for group in groups]
        found = micro_batches(sizes, tokens if packed else 0)
        return [[groups[index] for index in batch] for batch in found]


def experience_of(rollouts: Sequence[Rollout], samples: int, *, packed: bool) -> Experience:
    """Return a step's answers as tensors, nothing yet computed.

    Args:
        rollouts: in order, each prompt's `samples` answers together.
        samples: answers to a prompt.
        packed: whether several answers can share a row.
    """
    together = samples if packed else 1
    groups = [rollouts[start : start + together] for start in range(0, len(rollouts), together)]
    lengths = torch.tensor([len(rollout.drawn.tokens) for rollout in rollouts])
    longest = int(lengths.max())
    mask = torch.arange(longest)[None, :] < lengths[:, None]
    sampler, entropies = torch.zeros(2, len(rollouts), longest)
    for row, rollout in enumerate(rollouts):
        sampler[row, : lengths[row]] = torch.tensor(rollout.drawn.logprobs)
        if rollout.drawn.entropies is not None:
            entropies[row, : lengths[row]] = torch.tensor(rollout.drawn.entropies)
    return Experience(
        [Tree(group[0].prompt.ids, tuple(one.drawn.tokens for one in group)) for group in groups],
        [*range(0, len(rollouts), together), len(rollouts)],
        mask,
        sampler,
        entropies,
    )


def compute_token_metrics(
    experience: Experience, models: ActorCritic, tokens: int, *, recompute: bool = True
) -> None:
    """Fill in what policy, reference and critic say of the answers; each process does its share.

    Args:
        experience: what to fill.
        models: policy, reference and critic.
        tokens: that go through the model together with gradient; without, more do.
        recompute: whether the policy is asked; else what the sampler said of the tokens stands, which must be
            the policy's up to rounding. A shared critic's values come with the policy's figures.
    """
    experience.is_recomputed = recompute or models.shared
    batches = process_rows(
        experience.batches(range(len(experience.trees)), _MORE * tokens, packed=models.packed)
    )
    rows = [
        (experience.rows_of(batch), models.row([experience.trees[group] for group in batch]))
        for batch in batches
    ]
    readers: list[_Reader] = [lambda row: {"reference": models.reference_logprobs(row)}]
    if experience.is_recomputed:
        readers.append(lambda row: models.figures(row)._asdict())  # values too, which stand if shared
    if not models.shared:
        readers.append(lambda row: {"values": models.old_values(row)})
    shape, wide = experience.mask.shape, models.value_head.weight.dtype
    matrices = {name: torch.zeros(shape, dtype=wide, device=models.device) for name in _FIGURES}
    for read in readers:  # one adapter after the other: changing them takes time
        for numbers, row in rows:
            inside = experience.mask[numbers].to(models.device)
            for name, found in read(row).items():
                part = matrices[name][numbers]
                part[inside] = found.to(wide)
                matrices[name][numbers] = part
    whole = dict(zip(matrices, summed(torch.stack(list(matrices.values()))).cpu(), strict=True))
    experience.reference, experience.values = whole["reference"], whole["values"]
    if experience.is_recomputed:
        experience.logprobs, experience.entropies = whole["logprobs"], whole["entropies"]
    else:
        experience.logprobs, experience.entropies = experience.sampler, experience.sampler_entropies


def compute_advantages(
    experience: Experience,
    rollouts: Sequence[Rollout],
    totals: Sequence[float | None],
    kl_coef: float,
    config: PPOConfig,
) -> None:
    """Fill in rewards, advantages, returns and weights.

    Args:
        experience: with the models' figures.
        rollouts: the answers.
        totals: the reward of each answer before the penalty for being cut; None leaves the answer out.
        kl_coef: what a nat of divergence costs now.
        config: discount, lambda, penalties and switches.
    """
    finished = torch.tensor([rollout.drawn.finished for rollout in rollouts])
    known = torch.tensor([total is not None for total in totals])
    scores = torch.tensor([total or 0.0 for total in totals])
    scores = torch.where(finished, scores, scores - config.missing_eos_penalty)
    used = known & (finished | (not config.mask_truncated))
    mask = experience.mask
    counted = mask & used[:, None]
    experience.rewards = token_rewards(scores, k1(experience.logratios), mask, kl_coef)
    advantages, experience.returns = gae(
        experience.rewards, experience.values, mask, config.gamma, config.lam
    )
    experience.advantages = whiten(advantages, counted) if config.whiten else advantages
    gap = sampler_weights(experience.logprobs, experience.sampler, config.sampler_cap)
    experience.weights = torch.where(counted, gap, 0.0)


def step_metrics(
    experience: Experience, rollouts: Sequence[Rollout], totals: Sequence[float | None], kl_coef: float
) -> Metrics:
    """Return the figures of a step's answers before the update."""
    explained = explained_variance(experience.values, experience.returns, experience.weights > 0)
    critic = {} if math.isnan(explained) else {"critic/explained_variance": explained}
    return policy_metrics(experience, rollouts, totals, kl_coef) | critic
