"""`transformers.Trainer` over preference pairs: one packed forward and backward pass for each micro-batch.

Shapes: `B` pairs of a micro-batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer, TrainingArguments

from engines.trees import micro_batches
from training.examples import EncodedPair

BatchMetrics = Mapping[str, torch.Tensor]
"""(B,) values by name, to be averaged over pairs."""


class Objective(Protocol):
    """What a training minimises."""

    def losses(self, model: Any, pairs: Sequence[EncodedPair]) -> tuple[torch.Tensor, BatchMetrics]:
        """Return (B,) losses, weighted and not averaged, and figures to log. `model` may be wrapped."""
        ...

    def warnings(self, history: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        """Return what the user should know of a training that logged these figures."""
        ...


@dataclass(frozen=True, slots=True)
class _Micro:
    """Pairs that go through the model together."""

    pairs: tuple[EncodedPair, ...]
    idle: bool = False
    """Run for nothing: another process has more, and waits for this one's gradients."""


class PairTrainer(Trainer):
    """Minimises the mean of an objective's losses over the pairs of each optimizer step.

    The pairs of a step are drawn by seed and epoch and shared out between the processes here, so that any
    number of processes sees the same steps; what one process has is run in micro-batches of about `tokens`
    tokens, and a loss is divided by the number of pairs of the whole step.

    Args:
        policy: the model with the adapter to train.
        arguments: as for any trainer; `per_device_train_batch_size` counts for nothing.
        pairs: encoded pairs.
        held_out: pairs to evaluate on.
        objective: what is minimised.
        batch_size: pairs of an optimizer step, over all processes.
        tokens: of a micro-batch.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        policy: Any,
        arguments: TrainingArguments,
        pairs: Sequence[EncodedPair],
        held_out: Sequence[EncodedPair],
        objective: Objective,
        *,
        batch_size: int,
        tokens: int,
    ) -> None:
        super().__init__(
            model=policy,
            args=arguments,
            train_dataset=list(pairs),
            eval_dataset=list(held_out),
            data_collator=_as_batch,
        )
        self._held_out = list(held_out)
        self._objective = objective
        self._batch_size, self._tokens = batch_size, tokens
        self._totals = _Totals()

    def warnings(self, history: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        """Return what the user should know of a training that logged these figures."""
        return self._objective.warnings(history)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return whole optimizer steps as batches, the same in every process."""
        return _StepLoader(self.train_dataset, self._batch_size, self.args.seed)

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Run one optimizer step's pairs, and return their mean loss over all processes."""
        model.train()
        total = torch.zeros((), dtype=torch.float64, device=self.args.device)
        pairs: list[EncodedPair] = inputs["pairs"]
        *first, last = self._share(pairs)
        with self.accelerator.no_sync(model):
            for micro in first:
                total += self._backward(model, micro, len(pairs))
        total += self._backward(model, last, len(pairs))
        return self._reduce(total)

    def _backward(self, model: Any, micro: _Micro, count: int) -> torch.Tensor:
        """Add a micro-batch's gradients; return its part of the mean over the step's `count` pairs."""
        with self.compute_loss_context_manager():
            losses, figures = self._objective.losses(model, micro.pairs)
            loss = losses.sum() / count * (0.0 if micro.idle else 1.0)
        # Gradients are averaged over processes, and should be summed.
        self.accelerator.backward(loss * self.args.world_size)
        self._totals.add(figures, micro)
        return loss.detach().double()

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Return and log the mean loss and figures over the held-out pairs."""
        pairs: list[EncodedPair] = self._held_out if eval_dataset is None else list(eval_dataset)
        model: Any = self.model
        model.eval()
        totals = _Totals()
        with torch.inference_mode(), self.compute_loss_context_manager():
            for micro in self._share(pairs):
                losses, figures = self._objective.losses(model, micro.pairs)
                totals.add({"loss": losses, **figures}, micro)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self._means(totals).items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the trainer's figures, a step's with ours, averaged over the pairs since the last time."""
        if "loss" in logs:
            logs |= self._means(self._totals)
            self._totals = _Totals()
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: transformers counts by padded tensors, which there are none of."""
        return 0

    def _share(self, pairs: Sequence[EncodedPair]) -> list[_Micro]:
        """Return this process's part of the pairs in micro-batches; all processes have equally many."""
        world = self.args.world_size
        order = sorted(pairs, key=lambda pair: -pair.packed_tokens)
        shares = [self._micro_batches(order[rank::world]) for rank in range(world)]
        own = shares[self.args.process_index]
        return [_Micro((order[-1],), idle=True)] * (max(map(len, shares)) - len(own)) + own

    def _micro_batches(self, pairs: Sequence[EncodedPair]) -> list[_Micro]:
        groups = micro_batches([pair.packed_tokens for pair in pairs], self._tokens)
        return [_Micro(tuple(pairs[index] for index in group)) for group in groups]

    def _means(self, totals: _Totals) -> dict[str, float]:
        """Return the means over the pairs of all processes."""
        names = sorted(totals.sums)
        values = torch.tensor([*(totals.sums[name] for name in names), float(totals.pairs)]).double()
        *sums, pairs = self._reduce(values.to(self.args.device)).tolist()
        return {name: value / max(pairs, 1.0) for name, value in zip(names, sums, strict=True)}

    def _reduce(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum over processes."""
        if self.args.world_size == 1:
            return values
        reduced: torch.Tensor = self.accelerator.reduce(values, reduction="sum")
        return reduced


class _Totals:
    """Sums of figures over pairs; those of idle pairs have a name and no value."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.pairs = 0

    def add(self, figures: BatchMetrics, micro: _Micro) -> None:
        for name, values in figures.items():
            self.sums[name] += 0.0 if micro.idle else values.detach().double().sum().item()
        self.pairs += 0 if micro.idle else len(micro.pairs)


def _as_batch(pairs: list[EncodedPair]) -> dict[str, Any]:
    return {"pairs": pairs}


class _StepSampler(Sampler[list[int]]):
    """Indices of each optimizer step; the order follows from seed and epoch alone."""

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        self.rows, self.batch_size, self.seed, self.epoch = rows, batch_size, seed, 0

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed((self.seed + self.epoch * 0x9E3779B1) % 2**63)
        order = torch.randperm(self.rows, generator=generator).tolist()
        for start in range(0, self.rows, self.batch_size):
            yield order[start : start + self.batch_size]

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Draw another order; transformers calls this at the start of each epoch."""
        self.epoch = epoch


class _StepLoader(DataLoader[Any]):
    """Yields the pairs of each optimizer step."""

    def __init__(self, pairs: Any, batch_size: int, seed: int) -> None:
        sampler = _StepSampler(len(pairs), batch_size, seed)
        super().__init__(pairs, batch_sampler=sampler, collate_fn=_as_batch)
        self._sampler = sampler

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch on to the sampler."""
        self._sampler.set_epoch(epoch)
