"""PPO's optimizer steps on the answers of one step.

Every process goes through the same minibatches. The micro-batches of one are dealt out between the processes,
and losses are divided by the number of tokens of the whole minibatch: any number of processes, and any size
of a micro-batch, takes the same steps up to rounding.

Shapes: `A` answer tokens of a micro-batch.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from core.digests import derive_seed
from engines.hf.packing import PackedRow
from engines.trees import Tree, micro_batches
from training.config import OptimConfig
from training.examples import EncodedAnswer
from training.processes import process_rows, summed, world_size
from training.rl.config import PPOConfig
from training.rl.kl import ratio_of
from training.rl.metrics import GAP
from training.rl.ppo.actor_critic import ActorCritic
from training.rl.ppo.experience import Experience
from training.rl.ppo.losses import policy_losses, value_losses

_EPSILON = 1e-5
"""Adam's, as in PPO's own code (Huang et al. 2022, "The 37 implementation details of PPO", detail 3)."""
_BY_TOKEN = (
    "loss/policy_avg",
    "policy/approxkl_avg",
    "policy/clipfrac_avg",
    "val/ratio",
    "val/ratio_squared",
    "loss/value_avg",
    "val/clipfrac_avg",
    "loss/sft_avg",
    GAP,
)


_Pass = Callable[[Experience, Sequence[int], PackedRow, "_Figures"], torch.Tensor]
"""Returns the summed loss of a micro-batch: of some prompts' numbers, and the row that holds them."""


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that learn together: the policy's, or the critic's."""

    name: str
    parameters: Mapping[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    learning_rate: float
    """At its peak."""


class PPOUpdate:
    """Takes the optimizer steps.

    Args:
        models: policy and critic.
        config: losses, minibatches and learning rates.
        optim: schedule, clipping and micro-batches.
        seed: from which the order of answers is drawn.
        answered: examples of the SFT loss that is mixed in; none where `sft_coef` is 0.
        updates: optimizer steps of the whole training.
    """

    def __init__(
        self,
        models: ActorCritic,
        config: PPOConfig,
        optim: OptimConfig,
        *,
        seed: int,
        answered: Sequence[EncodedAnswer],
        updates: int,
    ) -> None:
        self._models, self._config, self._optim = models, config, optim
        self._seed, self._answered, self._updates = seed, answered, updates
        self._warming = updates * config.critic_warmup // config.steps
        self.done = 0
        """Optimizer steps taken."""
        self.policy = _side("policy", models.policy_parameters(), config.learning_rate, optim)
        self.critic = _side("critic", models.critic_parameters(), config.critic_learning_rate, optim)

    def run(self, experience: Experience, step: int) -> dict[str, float]:
        """Learn from one step's answers; return the figures, averaged over tokens or optimizer steps."""
        figures = _Figures(measures_gap=not experience.is_recomputed)
        for epoch in range(self._config.ppo_epochs):
            for groups in self._minibatches(experience, step, epoch):
                self._take(experience, groups, figures, learns_policy=step > self._config.critic_warmup)
                figures.measures_gap = False  # from here on the policy is another
        return figures.means(self._models.device)

    def _minibatches(self, experience: Experience, step: int, epoch: int) -> list[list[int]]:
        """Return the numbers of the prompts of each optimizer step, in an order of this step and epoch."""
        count = len(experience.trees)
        seed = derive_seed(self._seed, "minibatches", step, epoch)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed % 2**63)).tolist()
        answers = len(experience.trees[0].answers)
        size = max(1, self._config.minibatch // answers)
        return [order[start : start + size] for start in range(0, count, size)]

    def _take(
        self, experience: Experience, groups: Sequence[int], figures: _Figures, *, learns_policy: bool
    ) -> None:
        """Take one optimizer step."""
        tokens = int((experience.weights[experience.rows_of(groups)] > 0).sum())
        if tokens:  # else every answer of the minibatch teaches nothing
            batches = process_rows(
                experience.batches(groups, self._optim.micro_tokens, packed=self._models.packed)
            )
            for losses_of in self._passes(learns_policy=learns_policy):
                for batch in batches:
                    row = self._models.row([experience.trees[group] for group in batch])
                    loss = losses_of(experience, batch, row, figures) / tokens
                    loss.backward()  # type: ignore[no-untyped-call]
            if learns_policy:
                self._mix_in(figures)
            for side in (self.policy, self.critic) if learns_policy else (self.critic,):
                self._step(side, figures)
            for side in (self.policy, self.critic):
                side.optimizer.zero_grad()
        self.done += 1

    def _passes(self, *, learns_policy: bool) -> list[_Pass]:
        """Return what goes through the model in turn: two adapters, or both sides of one trunk at once."""
        if self._models.shared:
            return [self._both]
        return [self._policy, self._critic] if learns_policy else [self._critic]

    def _policy(
        self, experience: Experience, batch: Sequence[int], row: PackedRow, figures: _Figures
    ) -> torch.Tensor:
        return self._policy_loss(experience, batch, self._models.logprobs(row), figures)

    def _critic(
        self, experience: Experience, batch: Sequence[int], row: PackedRow, figures: _Figures
    ) -> torch.Tensor:
        return self._critic_loss(experience, batch, self._models.values(row), figures)

    def _both(
        self, experience: Experience, batch: Sequence[int], row: PackedRow, figures: _Figures
    ) -> torch.Tensor:
        logprobs, values = self._models.logprobs_and_values(row)
        policy = self._policy_loss(experience, batch, logprobs, figures)
        return policy + self._critic_loss(experience, batch, values, figures)

    def _policy_loss(
        self, experience: Experience, batch: Sequence[int], logprobs: torch.Tensor, figures: _Figures
    ) -> torch.Tensor:
        """Return the sum over a micro-batch's tokens."""
        old, advantages, weights = self._known(
            experience, batch, experience.logprobs, experience.advantages, experience.weights
        )
        losses, clipped = policy_losses(logprobs, old, advantages, self._config.clip)
        counted = weights > 0
        ratio = ratio_of(logprobs, old)[counted]
        if figures.measures_gap:
            figures.add(GAP, (logprobs - old).abs())
        figures.add("loss/policy_avg", (weights * losses)[counted])
        figures.add("policy/approxkl_avg", ((logprobs - old)[counted]).square() / 2)
        figures.add("policy/clipfrac_avg", clipped[counted])
        figures.add("val/ratio", ratio)
        figures.add("val/ratio_squared", ratio.square())
        return (weights * losses).sum()

    def _critic_loss(
        self, experience: Experience, batch: Sequence[int], values: torch.Tensor, figures: _Figures
    ) -> torch.Tensor:
        """Return the sum over a micro-batch's tokens that count."""
        old, returns, weights = self._known(
            experience, batch, experience.values, experience.returns, experience.weights
        )
        losses, clipped = value_losses(values, old, returns, self._config.value_clip)
        counted = weights > 0
        figures.add("loss/value_avg", losses[counted])
        figures.add("val/clipfrac_avg", clipped[counted])
        return self._config.vf_coef * losses[counted].sum()

    def _known(
        self, experience: Experience, batch: Sequence[int], *matrices: torch.Tensor
    ) -> list[torch.Tensor]:
        """Return (A,) what is known of a micro-batch's tokens."""
        rows = experience.rows_of(batch)
        return [experience.tokens_of(matrix, rows).to(self._models.device) for matrix in matrices]

    def _mix_in(self, figures: _Figures) -> None:
        """Add the gradients of the SFT loss on the next examples: InstructGPT's pretraining mix."""
        if not self._answered or not self._config.sft_coef:
            return
        count = min(self._config.minibatch, len(self._answered))
        rows = [self._answered[(self.done * count + i) % len(self._answered)] for i in range(count)]
        tokens = sum(len(row.answer_ids) for row in rows)
        budget = self._optim.micro_tokens if self._models.packed else 0
        for batch in process_rows(micro_batches([len(row) for row in rows], budget)):
            trees = [Tree(rows[index].prompt_ids, (rows[index].answer_ids,)) for index in batch]
            losses = -self._models.logprobs(self._models.row(trees), temperature=1.0)
            figures.add("loss/sft_avg", losses)
            (self._config.sft_coef * losses.sum() / tokens).backward()  # type: ignore[no-untyped-call]

    def _step(self, side: ParameterGroup, figures: _Figures) -> None:
        """Take a side's optimizer step with the gradients of all processes."""
        parameters = list(side.parameters.values())
        if world_size() > 1:
            _sum_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self._optim.max_grad_norm)
        before = self._warming if side is self.policy else 0
        factor = learning_rate_factor(self.done - before, self._updates - before, self._optim)
        for group in side.optimizer.param_groups:
            group["lr"] = side.learning_rate * factor
        side.optimizer.step()
        figures.note(f"{side.name}/grad_norm", float(norm))
        figures.note("lr" if side is self.policy else "critic/lr", side.learning_rate * factor)


def learning_rate_factor(update: int, total: int, optim: OptimConfig) -> float:
    """Return what part of its peak the learning rate has at an optimizer step, from 0 on; it is never 0."""
    warm = optim.warmup * total
    if update < warm:
        return (update + 1) / (warm + 1)
    done = min(1.0, (update - warm) / max(1.0, total - warm))
    if optim.schedule == "constant":
        return 1.0
    return 1 - done if optim.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2


class _Figures:
    """Sums over this process's tokens by name, and numbers by optimizer step, which all processes know."""

    def __init__(self, *, measures_gap: bool) -> None:
        self.measures_gap = measures_gap
        """Whether the policy still is the one that drew the answers."""
        self._sums: dict[str, list[float]] = {name: [0.0, 0.0] for name in _BY_TOKEN}
        self._numbers: dict[str, list[float]] = defaultdict(list)

    def add(self, name: str, values: torch.Tensor) -> None:
        """Take in a value for each of some tokens."""
        self._sums[name][0] += values.detach().double().sum().item()
        self._sums[name][1] += values.numel()

    def note(self, name: str, number: float) -> None:
        """Take in a number of one optimizer step."""
        self._numbers[name].append(number)

    def means(self, device: torch.device) -> dict[str, float]:
        """Return the means over the tokens of all processes, and over optimizer steps."""
        totals = summed(torch.tensor(list(self._sums.values()), dtype=torch.float64, device=device))
        means = {
            name: total / count
            for name, (total, count) in zip(self._sums, totals.tolist(), strict=True)
            if count
        }
        if "val/ratio" in means:
            means["val/ratio_var"] = max(0.0, means.pop("val/ratio_squared") - means["val/ratio"] ** 2)
        norms = {f"{name}_max": max(v) for name, v in self._numbers.items() if name.endswith("grad_norm")}
        return means | {name: sum(v) / len(v) for name, v in self._numbers.items()} | norms


def _side(
    name: str, parameters: Mapping[str, torch.nn.Parameter], learning_rate: float, optim: OptimConfig
) -> ParameterGroup:
    optimizer = torch.optim.AdamW(
        list(parameters.values()), lr=learning_rate, eps=_EPSILON, weight_decay=optim.weight_decay
    )
    return ParameterGroup(name, parameters, optimizer, learning_rate)


def _sum_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Give every process the sum of all processes' gradients."""
    for parameter in parameters:
        if parameter.grad is None:  # this process had no part of the minibatch
            parameter.grad = torch.zeros_like(parameter)
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = summed(torch.cat([grad.flatten() for grad in grads]))
    start = 0
    for grad in grads:
        grad.copy_(flat[start : start + grad.numel()].view_as(grad))
        start += grad.numel()
