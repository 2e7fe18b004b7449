"""`transformers.Trainer` for an objective over packed rows: one forward and backward pass per micro-batch.

Shapes: `B` rows of a micro-batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import torch
from transformers import TrainingArguments

from engines.trees import micro_batches
from training.packed import mixed_precision
from training.steps.trainer import Micro, StepTrainer, as_batch

BatchMetrics = Mapping[str, torch.Tensor]
"""Values (B,) by metric name, to be averaged over rows."""


class PackedExample(Protocol):
    """An example that knows its length in a packed row."""

    @property
    def packed_tokens(self) -> int:
        """Number of tokens of the prompt and all its answers."""
        ...


PackedT = TypeVar("PackedT", bound=PackedExample)
LearnedT = TypeVar("LearnedT", bound=PackedExample, contravariant=True)


class Objective(Protocol[LearnedT]):
    """Loss function over examples, with its metrics."""

    def losses(self, model: Any, rows: Sequence[LearnedT]) -> tuple[torch.Tensor, BatchMetrics]:
        """Return losses (B,), weighted but not averaged, and metrics to log. `model` may be wrapped (DDP)."""
        ...

    def warnings(self, history: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        """Return warnings about a training with this history of metrics."""
        ...


class ObjectiveTrainer(StepTrainer[PackedT]):
    """Minimises the mean of an objective's losses over the rows of each optimizer step.

    A process runs its rows in micro-batches of at most `tokens` tokens. Losses are divided by the number of
    rows of the whole step.

    Args:
        policy: the model with the adapter to train.
        arguments: training arguments; `per_device_train_batch_size` is ignored.
        rows: encoded pairs or answers.
        held_out: rows to evaluate on.
        objective: the loss and its metrics.
        batch_size: rows per optimizer step, over all processes.
        tokens: maximum number of tokens per micro-batch.
    """

    def __init__(
        self,
        policy: Any,
        arguments: TrainingArguments,
        rows: Sequence[PackedT],
        held_out: Sequence[PackedT],
        objective: Objective[PackedT],
        *,
        batch_size: int,
        tokens: int,
    ) -> None:
        super().__init__(
            model=policy,
            args=arguments,
            train_dataset=list(rows),
            eval_dataset=list(held_out),
            data_collator=as_batch,
        )
        self.use_rows(rows, batch_size)
        self._tokens = tokens
        self._held_out = list(held_out)
        self._objective = objective
        self._totals = _Totals()

    def warnings(self, history: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        """Return warnings about a training with this history of metrics."""
        return self._objective.warnings(history)

    def tokens_of(self, row: PackedT) -> int:
        """Return the number of tokens of a row."""
        return row.packed_tokens

    def divisor(self, rows: Sequence[PackedT]) -> int:
        """Return the number of rows."""
        return len(rows)

    def micro_batches(self, rows: Sequence[PackedT]) -> list[list[int]]:
        """Return the indices of the rows in groups under the token budget."""
        return micro_batches(list(map(self.tokens_of, rows)), self._tokens)

    def micro_loss(self, model: Any, micro: Micro[PackedT], divisor: int) -> torch.Tensor:
        """Return the summed loss of a micro-batch, divided by the step's rows."""
        with self._precision():
            losses, metrics = self._objective.losses(model, micro.rows)
            loss = losses.sum() / divisor
        self._totals.add(metrics, micro)
        return loss

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Return and log the mean loss and metrics over the held-out rows."""
        rows: list[PackedT] = self._held_out if eval_dataset is None else list(eval_dataset)
        model: Any = self.model
        model.eval()
        totals = _Totals()
        with torch.inference_mode(), self._precision():
            for micro in self.shared(rows):
                losses, values = self._objective.losses(model, micro.rows)
                totals.add({"loss": losses, **values}, micro)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self._means(totals).items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the trainer's metrics; for a training step add the objective's, averaged over its rows."""
        if "loss" in logs:
            logs |= self._means(self._totals)
            self._totals = _Totals()
        super().log(logs, start_time)

    def _precision(self) -> torch.autocast:
        return mixed_precision(self.args.device, bf16=self.args.bf16 or self.args.fp16)

    def _means(self, totals: _Totals) -> dict[str, float]:
        """Return the means over the rows of all processes."""
        names = sorted(totals.sums)
        values = torch.tensor([*(totals.sums[name] for name in names), float(totals.rows)]).double()
        *sums, rows = self.reduced(values.to(self.args.device)).tolist()
        return {name: value / max(rows, 1.0) for name, value in zip(names, sums, strict=True)}


class _Totals:
    """Sums of metrics over rows. Idle micro-batches add 0, so all processes reduce the same names."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.rows = 0

    def add(self, metrics: BatchMetrics, micro: Micro[Any]) -> None:
        for name, values in metrics.items():
            self.sums[name] += 0.0 if micro.idle else values.detach().double().sum().item()
        self.rows += 0 if micro.idle else len(micro.rows)
