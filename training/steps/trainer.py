"""`transformers.Trainer` that takes whole optimizer steps, in micro-batches under a token budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Sampler
from transformers import SchedulerType, Trainer

from training.steps.schedule import learning_rate_factor

StepRow = TypeVar("StepRow")


@dataclass(frozen=True, slots=True)
class Micro(Generic[StepRow]):
    """A micro-batch: rows that are run in one forward pass."""

    rows: tuple[StepRow, ...]
    idle: bool = False
    """True if the micro-batch has no weight. It is run because another process has more micro-batches
    and waits for this one's gradients."""


class StepTrainer(Trainer, Generic[StepRow]):
    """Takes the rows of an optimizer step together, and divides them into micro-batches itself.

    The rows of a step are drawn by seed and epoch and distributed over the processes here, so any number of
    processes takes the same steps. Each epoch is divided into steps of exactly `batch_size` rows; the last
    one has the rest. Losses are divided by a number for the whole step, so gradients do not depend on
    the micro-batches, up to rounding.

    A derived class calls `use_rows` before training.
    """

    # The loss is a mean over the whole step already; transformers must not scale it again.
    loss_is_scaled_for_ga = True

    def use_rows(self, rows: Sequence[StepRow], batch_size: int) -> None:
        """Set the training rows, and how many of them a step takes over all processes."""
        self._rows, self._batch_size = list(rows), batch_size

    def micro_batches(self, rows: Sequence[StepRow]) -> list[list[int]]:
        """Return the indices of the rows in groups that fit into one forward pass."""
        raise NotImplementedError

    def tokens_of(self, row: StepRow) -> int:
        """Return the number of tokens of a row."""
        raise NotImplementedError

    def divisor(self, rows: Sequence[StepRow]) -> int:
        """Return what the summed loss of a step is divided by."""
        raise NotImplementedError

    def micro_loss(self, model: Any, micro: Micro[StepRow], divisor: int) -> torch.Tensor:
        """Return the summed loss of a micro-batch, divided by the divisor of the whole step."""
        raise NotImplementedError

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return whole optimizer steps as batches, the same in every process."""
        # Not prepared by accelerate, which would distribute the batches over processes and repeat some.
        return _StepLoader(self._rows, self._batch_size, self.args.seed)

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> LambdaLR:
        """Return the learning rate schedule, in which no step has rate 0."""
        if self.lr_scheduler is None:
            schedule: Any = SchedulerType(self.args.lr_scheduler_type).value
            factor = partial(
                learning_rate_factor,
                total=num_training_steps,
                # A training that is warm-up alone would never reach its learning rate.
                warm=min(self.args.get_warmup_steps(num_training_steps), num_training_steps - 1),
                schedule=schedule,
            )
            used: Any = optimizer or self.optimizer
            self.lr_scheduler = LambdaLR(used, factor)
            self._created_lr_scheduler = True
        found: LambdaLR = self.lr_scheduler
        return found

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Run the rows of one optimizer step, the only entry of `inputs`; return their mean loss."""
        model.train()
        total = torch.zeros((), dtype=torch.float64, device=self.args.device)
        rows: list[StepRow]
        (rows,) = inputs.values()
        divisor = self.divisor(rows)
        *first, last = self.shared(rows)
        # Gradients are exchanged once per step, in the backward pass of the last micro-batch.
        with self.accelerator.no_sync(model):
            for micro in first:
                total += self._backward(model, micro, divisor)
        total += self._backward(model, last, divisor)
        # Each process has computed its part of the mean.
        return self.reduced(total)

    def _backward(self, model: Any, micro: Micro[StepRow], divisor: int) -> torch.Tensor:
        """Accumulate a micro-batch's gradients; return its part of the step's mean loss."""
        # Multiplied by 0 and not skipped: DDP waits for gradients from every process.
        loss = self.micro_loss(model, micro, divisor) * (0.0 if micro.idle else 1.0)
        # DDP averages gradients over processes, but the parts of the mean must be summed.
        self.accelerator.backward(loss * self.args.world_size)
        return loss.detach().double()

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: transformers counts operations from padded tensors, which do not exist here."""
        return 0

    def shared(self, rows: Sequence[StepRow]) -> list[Micro[StepRow]]:
        """Return this process's rows in micro-batches; each process gets the same number of them."""
        world = self.args.world_size
        # Dealt by length, so all processes get about the same number of tokens.
        order = sorted(rows, key=lambda row: -self.tokens_of(row))
        shares = [self._grouped(order[rank::world]) for rank in range(world)]
        own = shares[self.args.process_index]
        # The shortest row costs the least.
        return [Micro((order[-1],), idle=True)] * (max(map(len, shares)) - len(own)) + own

    def _grouped(self, rows: Sequence[StepRow]) -> list[Micro[StepRow]]:
        return [Micro(tuple(rows[index] for index in group)) for group in self.micro_batches(rows)]

    def reduced(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum over processes."""
        if self.args.world_size == 1:
            return values
        reduced: torch.Tensor = self.accelerator.reduce(values, reduction="sum")
        return reduced


def as_batch(rows: list[Any]) -> dict[str, Any]:
    """Return rows as the batch that `StepTrainer.training_step` expects."""
    return {"rows": rows}


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
    """Yields the rows of each optimizer step."""

    def __init__(self, rows: Any, batch_size: int, seed: int) -> None:
        sampler = _StepSampler(len(rows), batch_size, seed)
        super().__init__(rows, batch_sampler=sampler, collate_fn=as_batch)
        self._sampler = sampler

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch on to the sampler."""
        self._sampler.set_epoch(epoch)
