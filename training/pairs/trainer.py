"""`transformers.Trainer` for preference pairs: one packed forward and backward pass per micro-batch.

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
from training.packed import mixed_precision

BatchMetrics = Mapping[str, torch.Tensor]
"""Values (B,) by metric name, to be averaged over pairs."""


class Objective(Protocol):
    """Loss function over pairs, with its metrics."""

    def losses(self, model: Any, pairs: Sequence[EncodedPair]) -> tuple[torch.Tensor, BatchMetrics]:
        """Return losses (B,), weighted but not averaged, and metrics to log. `model` may be wrapped (DDP)."""
        ...

    def warnings(self, history: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        """Return warnings about a training with this history of metrics."""
        ...


@dataclass(frozen=True, slots=True)
class _Micro:
    """A micro-batch: pairs that are run in one forward pass."""

    pairs: tuple[EncodedPair, ...]
    idle: bool = False
    """True if the micro-batch has no weight. It is run because another process has more micro-batches
    and waits for this one's gradients."""


class PairTrainer(Trainer):
    """Minimises the mean of an objective's losses over the pairs of each optimizer step.

    The pairs of a step are drawn by seed and epoch and distributed over the processes here, so any number of
    processes takes the same steps. A process runs its pairs in micro-batches of at most `tokens` tokens.
    Losses are divided by the number of pairs of the whole step.

    Args:
        policy: the model with the adapter to train.
        arguments: training arguments; `per_device_train_batch_size` is ignored.
        pairs: encoded pairs.
        held_out: pairs to evaluate on.
        objective: the loss and its metrics.
        batch_size: pairs per optimizer step, over all processes.
        tokens: maximum number of tokens per micro-batch.
    """

    # The loss is a mean over the whole step already; transformers must not scale it again.
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
        """Return warnings about a training with this history of metrics."""
        return self._objective.warnings(history)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return whole optimizer steps as batches, the same in every process."""
        # Not prepared by accelerate, which would distribute the batches over processes and repeat some.
        return _StepLoader(self.train_dataset, self._batch_size, self.args.seed)

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Run the pairs of one optimizer step; return their mean loss over all processes."""
        model.train()
        total = torch.zeros((), dtype=torch.float64, device=self.args.device)
        pairs: list[EncodedPair] = inputs["pairs"]
        *first, last = self._share(pairs)
        # Gradients are exchanged once per step, in the backward pass of the last micro-batch.
        with self.accelerator.no_sync(model):
            for micro in first:
                total += self._backward(model, micro, len(pairs))
        total += self._backward(model, last, len(pairs))
        # Each process has computed its part of the mean.
        return self._reduce(total)

    def _backward(self, model: Any, micro: _Micro, count: int) -> torch.Tensor:
        """Accumulate a micro-batch's gradients; return its part of the mean over the step's `count` pairs."""
        with self._precision():
            losses, metrics = self._objective.losses(model, micro.pairs)
            # Multiplied by 0 and not skipped: DDP waits for gradients from every process.
            loss = losses.sum() / count * (0.0 if micro.idle else 1.0)
        # DDP averages gradients over processes, but the parts of the mean must be summed.
        self.accelerator.backward(loss * self.args.world_size)
        self._totals.add(metrics, micro)
        return loss.detach().double()

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Return and log the mean loss and metrics over the held-out pairs."""
        pairs: list[EncodedPair] = self._held_out if eval_dataset is None else list(eval_dataset)
        model: Any = self.model
        model.eval()
        totals = _Totals()
        with torch.inference_mode(), self._precision():
            for micro in self._share(pairs):
                losses, values = self._objective.losses(model, micro.pairs)
                totals.add({"loss": losses, **values}, micro)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self._means(totals).items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the trainer's metrics; for a training step add the objective's, averaged over its pairs."""
        if "loss" in logs:
            logs |= self._means(self._totals)
            self._totals = _Totals()
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: transformers counts operations from padded tensors, which do not exist here."""
        return 0

    def _precision(self) -> torch.autocast:
        return mixed_precision(self.args.device, bf16=self.args.bf16 or self.args.fp16)

    def _share(self, pairs: Sequence[EncodedPair]) -> list[_Micro]:
        """Return this process's pairs in micro-batches; each process gets the same number of them."""
        world = self.args.world_size
        # Dealt by length, so all processes get about the same number of tokens.
        order = sorted(pairs, key=lambda pair: -pair.packed_tokens)
        shares = [self._micro_batches(order[rank::world]) for rank in range(world)]
        own = shares[self.args.process_index]
        # The shortest pair costs the least.
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
    """Sums of metrics over pairs. Idle micro-batches add 0, so all processes reduce the same names."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.pairs = 0

    def add(self, metrics: BatchMetrics, micro: _Micro) -> None:
        for name, values in metrics.items():
            self.sums[name] += 0.0 if micro.idle else values.detach().double().sum().item()
        self.pairs += 0 if micro.idle else len(micro.pairs)


def _as_batch(pairs: list[EncodedPair]) -> dict[str, Any]:
    return {"pairs": pairs}


class _StepSampler(Sampler[list[int]]):
    """Yields the indices of each optimizer step, in an order that depends only on seed and epoch."""

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        self.rows, self.batch_size, self.seed, self.epoch = rows, batch_size, seed, 0

    def __iter__(self) -> Iterator[list[int]]:
        # A generator of its own: the order must not depend on other random draws before a resume.
        generator = torch.Generator().manual_seed((self.seed + self.epoch * 0x9E3779B1) % 2**63)
        order = torch.randperm(self.rows, generator=generator).tolist()
        for start in range(0, self.rows, self.batch_size):
            yield order[start : start + self.batch_size]

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which determines the order; transformers calls this at the start of each epoch."""
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
