"""The optimizer steps on the answers of one training step.

Every process goes through the same minibatches. The micro-batches of a minibatch are split between the
processes, and losses are divided by a number for the whole minibatch (`objectives.py`). The steps are thus
the same, up to rounding, for any number of processes and any micro-batch size.

Shapes: `A` answer tokens of a micro-batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from core.digests import derive_seed
from engines.hf.packing import PackedRow
from engines.trees import Tree, micro_batches
from training.examples import EncodedAnswer
from training.job import TrainingJob
from training.processes import process_rows
from training.rl.config import LoopConfig, PPOConfig
from training.rl.kl import ratio_of
from training.rl.metrics import GAP, Averages
from training.rl.optimizer import ParameterGroup, loss_scaler
from training.rl.ppo.actor_critic import ActorCritic
from training.rl.ppo.experience import Experience
from training.rl.ppo.losses import value_losses
from training.rl.ppo.objectives import loss_divisor, token_losses


class PolicyUpdate:
    """The optimizer steps of policy and critic.

    Args:
        models: policy and critic.
        config: losses, minibatches and learning rates.
        job: schedule, clipping and micro-batches; the seed decides the order of answers.
        answered: examples for the mixed-in SFT loss; none if `sft_coef` is 0.
        updates: total number of optimizer steps.
    """

    def __init__(
        self,
        models: ActorCritic,
        config: LoopConfig,
        job: TrainingJob,
        answered: Sequence[EncodedAnswer],
        updates: int,
    ) -> None:
        self._models, self._config, self._optim = models, config, job.optim
        self._seed, self._answered, self._updates = job.seed, answered, updates
        self._warming = updates * config.critic_warmup // config.steps
        self.scaler = loss_scaler(job, models.device)
        self.done = 0
        """Optimizer steps taken."""
        self.policy = self._group("policy", models.policy_parameters(), config.learning_rate)
        own = models.critic_parameters()
        self.critic = self._group("critic", own, config.critic_learning_rate) if own else None
        self.groups = [self.policy] if self.critic is None else [self.policy, self.critic]
        """The parameter groups that are trained."""

    def run(self, experience: Experience, step: int) -> dict[str, float]:
        """Train on one step's answers; return metrics, averaged over tokens or optimizer steps."""
        averages = Averages(measures_gap=not experience.is_recomputed)
        for epoch in range(self._config.ppo_epochs):
            for groups in self._minibatches(experience, step, epoch):
                self._take(experience, groups, averages, learns_policy=step > self._config.critic_warmup)
                averages.measures_gap = False  # from here on, the policy differs from the one sampled from
        return averages.means()

    def _minibatches(self, experience: Experience, step: int, epoch: int) -> list[list[int]]:
        """Return the indices of the prompts of each optimizer step, shuffled for this step and epoch."""
        count = len(experience.trees)
        # The seed depends on step and epoch only: a resumed job has the same order without a saved state.
        seed = derive_seed(self._seed, "minibatches", step, epoch)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed % 2**63)).tolist()
        answers = len(experience.trees[0].answers)
        size = max(1, self._config.minibatch // answers)
        return [order[start : start + size] for start in range(0, count, size)]

    def _take(
        self, experience: Experience, groups: Sequence[int], averages: Averages, *, learns_policy: bool
    ) -> None:
        """Take one optimizer step."""
        weights = experience.weights[experience.rows_of(groups)]
        if weights.any():  # otherwise no token of the minibatch is trained on
            divisor = loss_divisor(weights, self._config)
            batches = process_rows(
                experience.batches(groups, self._optim.micro_tokens, packed=self._models.packed)
            )
            for sides in self._passes(learns_policy=learns_policy):
                for batch in batches:
                    row = self._models.row([experience.trees[group] for group in batch])
                    loss = self._loss(experience, experience.rows_of(batch), row, sides, averages)
                    self._backward(loss / divisor)
            if learns_policy:
                self._mix_in(averages)
            for group in self.groups:
                if learns_policy or group is not self.policy:
                    self._step(group, averages)
            if self.scaler.is_enabled():
                self.scaler.update()
            for group in self.groups:
                group.optimizer.zero_grad()
        self.done += 1  # even without a step: the learning rate must follow the number of minibatches

    def _passes(self, *, learns_policy: bool) -> list[tuple[str, ...]]:
        """Return the outputs of each pass through the model: policy or critic, or both on a shared trunk."""
        if self._models.critic == "shared":
            return [("policy", "critic")]
        sides = [group.name for group in self.groups if learns_policy or group is not self.policy]
        return [(side,) for side in sides]

    def _loss(
        self,
        experience: Experience,
        rows: torch.Tensor,
        row: PackedRow,
        sides: Sequence[str],
        averages: Averages,
    ) -> torch.Tensor:
        """Return the summed loss of a micro-batch: the answers `rows`, packed as `row`."""
        logprobs, values = self._models.run(row, policy="policy" in sides, critic="critic" in sides)
        losses = []
        if "policy" in sides:
            losses.append(self._policy_loss(experience, rows, logprobs, averages))
        if "critic" in sides:
            losses.append(self._critic_loss(experience, rows, values, averages))
        return torch.stack(losses).sum()

    def _policy_loss(
        self, experience: Experience, rows: torch.Tensor, logprobs: torch.Tensor, averages: Averages
    ) -> torch.Tensor:
        """Return the weighted sum of the policy's losses over a micro-batch's tokens."""
        old, weights = experience.known(rows, logprobs, "logprobs", "weights")
        losses, clipped = token_losses(logprobs, experience, rows, self._config)
        counted = weights > 0
        ratio = ratio_of(logprobs, old)[counted]
        weighted = weights * losses
        if averages.measures_gap:
            averages.add(GAP, (logprobs - old).abs())
        divisor = loss_divisor(experience.weights[rows], self._config)
        averages.add("loss/policy_avg", weighted[counted], divisor)
        averages.add("policy/approxkl_avg", ((logprobs - old)[counted]).square() / 2)
        averages.add("policy/clipfrac_avg", clipped[counted])
        averages.add("val/ratio", ratio)
        averages.add("val/ratio_squared", ratio.square())
        return weighted.sum()

    def _critic_loss(
        self, experience: Experience, rows: torch.Tensor, values: torch.Tensor, averages: Averages
    ) -> torch.Tensor:
        """Return the sum of the critic's losses over a micro-batch's tokens with a weight above 0."""
        old, returns, weights = experience.known(rows, values, "values", "returns", "weights")
        assert isinstance(self._config, PPOConfig)
        losses, clipped = value_losses(values, old, returns, self._config.value_clip)
        # Importance weights correct the policy's gradient; the critic's targets need none.
        counted = weights > 0
        averages.add("loss/value_avg", losses[counted])
        averages.add("val/clipfrac_avg", clipped[counted])
        return self._config.vf_coef * losses[counted].sum()

    def _mix_in(self, averages: Averages) -> None:
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
            averages.add("loss/sft_avg", losses)
            self._backward(self._config.sft_coef * losses.sum() / tokens)

    def _backward(self, loss: torch.Tensor) -> None:
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def _step(self, group: ParameterGroup, averages: Averages) -> None:
        """Take a group's optimizer step with the gradients of all processes."""
        # The policy's schedule begins when the critic has warmed up.
        before = self._warming if group is self.policy else 0
        found = group.step(self.scaler, self._optim, self.done - before, self._updates - before)
        for name, number in found.items():
            averages.note(name, number)

    def _group(
        self, name: str, parameters: Mapping[str, torch.nn.Parameter], learning_rate: float
    ) -> ParameterGroup:
        return ParameterGroup.of(
            name,
            parameters,
            learning_rate,
            epsilon=self._config.adam_epsilon,
            weight_decay=self._optim.weight_decay,
        )
