"""A step's answers as tensors, for the update.

Shapes: `G` prompts, `N` answers in order of the prompts, `A` tokens of the longest answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from engines.hf.packing import PackedRow
from engines.trees import Tree, micro_batches
from training.processes import process_rows, summed
from training.rl.ppo.actor_critic import ActorCritic
from training.rl.rollouts import Rollout

_MORE = 4
"""Factor on the tokens of a micro-batch without gradient, where no activations are kept."""
_OUTPUTS = ("logprobs", "entropies", "reference", "values")
_Reader = Callable[[PackedRow], dict[str, torch.Tensor]]
"""Returns the outputs of one of the models for the tokens of a row's answers."""


@dataclass
class Experience:
    """Answers and what is known of their tokens: (N, A) unless noted, and 0 for padding."""

    trees: list[Tree]
    """(G,) each prompt with its answers."""
    firsts: list[int]
    """(G + 1,) the number of each prompt's first answer, and the end."""
    mask: torch.Tensor
    """True for real tokens."""
    counted: torch.Tensor
    """True for real tokens that are trained on."""
    sampler: torch.Tensor
    """Log-probabilities as the sampler gave them."""
    sampler_entropies: torch.Tensor
    """Entropies as the sampler gave them, if it did."""
    is_recomputed: bool = field(init=False)
    """True if `logprobs` are the trainer's own, not the sampler's."""
    logprobs: torch.Tensor = field(init=False)
    """Log-probabilities under the policy before the update."""
    entropies: torch.Tensor = field(init=False)
    reference: torch.Tensor = field(init=False)
    """Log-probabilities of the reference."""
    values: torch.Tensor = field(init=False)
    """Values of the critic before the update; 0 without a critic."""
    rewards: torch.Tensor = field(init=False)
    """Reward of each token (PPO only)."""
    advantages: torch.Tensor = field(init=False)
    returns: torch.Tensor = field(init=False)
    """Targets of the critic (PPO only)."""
    weights: torch.Tensor = field(init=False)
    """Weight of each token's loss; 0 for tokens that are not trained on."""

    @property
    def logratios(self) -> torch.Tensor:
        """Log pi - log ref of each token."""
        return self.logprobs - self.reference

    def rows_of(self, groups: Sequence[int]) -> torch.Tensor:
        """Return the indices of the answers to the prompts with these indices, in order."""
        return torch.tensor([row for g in groups for row in range(self.firsts[g], self.firsts[g + 1])])

    def known(self, rows: torch.Tensor, like: torch.Tensor, *names: str) -> list[torch.Tensor]:
        """Return some of the matrices for the real tokens of the given answers, concatenated.

        Args:
            rows: the indices of the answers.
            like: a tensor on the device where the result is wanted.
            names: the names of the matrices.
        """
        inside = self.mask[rows]
        return [getattr(self, name)[rows][inside].to(like.device) for name in names]

    def batches(self, groups: Sequence[int], tokens: int, *, packed: bool) -> list[list[int]]:
        """Return the prompts' indices in micro-batches of at most `tokens` tokens; one each if not packed."""
        sizes = [len(self.trees[group]) for group in groups]
        found = micro_batches(sizes, tokens if packed else 0)
        return [[groups[index] for index in batch] for batch in found]


def experience_of(
    rollouts: Sequence[Rollout], samples: int, *, packed: bool, mask_truncated: bool = False
) -> Experience:
    """Return a step's answers as tensors, before any model has seen them.

    Args:
        rollouts: in order, each prompt's `samples` answers together.
        samples: answers per prompt.
        packed: whether several answers can share a row.
        mask_truncated: whether to mask truncated answers in the loss.
    """
    together = samples if packed else 1
    groups = [rollouts[start : start + together] for start in range(0, len(rollouts), together)]
    lengths = torch.tensor([len(rollout.drawn.tokens) for rollout in rollouts])
    longest = int(lengths.max())
    mask = torch.arange(longest)[None, :] < lengths[:, None]
    used = torch.tensor([rollout.drawn.finished or not mask_truncated for rollout in rollouts])
    sampler, entropies = torch.zeros(2, len(rollouts), longest)
    for row, rollout in enumerate(rollouts):
        sampler[row, : lengths[row]] = torch.tensor(rollout.drawn.logprobs)
        if rollout.drawn.entropies is not None:
            entropies[row, : lengths[row]] = torch.tensor(rollout.drawn.entropies)
    return Experience(
        [Tree(group[0].prompt.ids, tuple(one.drawn.tokens for one in group)) for group in groups],
        [*range(0, len(rollouts), together), len(rollouts)],
        mask,
        mask & used[:, None],
        sampler,
        entropies,
    )


@torch.no_grad()
def compute_token_metrics(
    experience: Experience, models: ActorCritic, tokens: int, *, recompute: bool = True
) -> None:
    """Fill in the outputs of policy, reference and critic; each process computes its share.

    Args:
        experience: what to fill.
        models: policy, reference and critic.
        tokens: size of a micro-batch with gradient; without, it is larger.
        recompute: whether to run the policy; else the sampler's log-probabilities are taken, which must be
            the policy's up to rounding. A shared critic needs the policy's pass for its values anyway.
    """
    experience.is_recomputed = recompute or models.critic == "shared"
    batches = process_rows(
        experience.batches(range(len(experience.trees)), _MORE * tokens, packed=models.packed)
    )
    readers: list[_Reader] = [lambda row: {"reference": models.reference_logprobs(row)}]
    if experience.is_recomputed:
        readers.append(lambda row: models.outputs(row)._asdict())  # with a shared critic's values
    if models.critic == "separate":
        readers.append(lambda row: {"values": models.run(row, policy=False, critic=True)[1]})
    shape, wide = experience.mask.shape, models.wide
    matrices = {name: torch.zeros(shape, dtype=wide, device=models.device) for name in _OUTPUTS}
    for read in readers:  # each adapter runs over all rows before the next: switching takes time
        for batch in batches:
            numbers = experience.rows_of(batch)
            inside = experience.mask[numbers].to(models.device)
            # Packed anew for each adapter: a row that has been read holds its attention masks.
            row = models.row([experience.trees[group] for group in batch])
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
