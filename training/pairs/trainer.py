"""`transformers.Trainer` for preference pairs: one packed forward and backward pass per micro-batch.

Shapes: `B` pairs of a micro-batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from transformers import TrainingArguments

from engines.trees import micro_batches
from training.examples import EncodedPair
from training.packed import mixed_precision
from training.steps.trainer import Micro, StepTrainer, as_batch

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


class PairTrainer(StepTrainer[EncodedPair]):
    """Minimises the mean of an objective's losses over the pairs of each optimizer step.

    A process runs its pairs in micro-batches of at most `tokens` tokens. Losses are divided by
    the number of pairs of the whole step.

    Args:
        policy: the model with the adapter to train.
        arguments: training arguments; `per_device_train_batch_size` is ignored.
        pairs: encoded pairs.
        held_out: pairs to evaluate on.
        objective: the loss and its metrics.
        batch_size: pairs per optimizer step, over all processes.
        tokens: maximum number of tokens per micro-batch.
    """

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
            data_collator=as_batch,
        )
        self.use_rows(pairs, batch_size)
        self._tokens = tokens
        self._held_out = list(held_out)
        self._objective = objective
        self._totals = _Totals()

    def warnings(self, history: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        """Return warnings about a training with this history of metrics."""
        return self._objective.warnings(history)

    def tokens_of(self, row: EncodedPair) -> int:
        """Return the number of tokens of prompt and both answers."""
        return row.packed_tokens

    def divisor(self, rows: Sequence[EncodedPair]) -> int:
        """Return the number of pairs."""
        return len(rows)

    def micro_batches(self, rows: Sequence[EncodedPair]) -> list[list[int]]:
        """Return the indices of the pairs in groups under the token budget."""
        return micro_batches(list(map(self.tokens_of, rows)), self._tokens)

    def micro_loss(self, model: Any, micro: Micro[EncodedPair], divisor: int) -> torch.Tensor:
        """Return the summed loss of a micro-batch, divided by the step's pairs."""
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
        """Return and log the mean loss and metrics over the held-out pairs."""
        pairs: list[EncodedPair] = self._held_out if eval_dataset is None else list(eval_dataset)
        model: Any = self.model
        model.eval()
        totals = _Totals()
        with torch.inference_mode(), self._precision():
            for micro in self.shared(pairs):
                losses, values = self._objective.losses(model, micro.rows)
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

    def _precision(self) -> torch.autocast:
        return mixed_precision(self.args.device, bf16=self.args.bf16 or self.args.fp16)

    def _means(self, totals: _Totals) -> dict[str, float]:
        """Return the means over the pairs of all processes."""
        names = sorted(totals.sums)
        values = torch.tensor([*(totals.sums[name] for name in names), float(totals.pairs)]).double()
        *sums, pairs = self.reduced(values.to(self.args.device)).tolist()
        return {name: value / max(pairs, 1.0) for name, value in zip(names, sums, strict=True)}


class _Totals:
    """Sums of metrics over pairs. Idle micro-batches add 0, so all processes reduce the same names."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.pairs = 0

    def add(self, metrics: BatchMetrics, micro: Micro[EncodedPair]) -> None:
        for name, values in metrics.items():
            self.sums[name] += 0.0 if micro.idle else values.detach().double().sum().item()
        self.pairs += 0 if micro.idle else len(micro.rows)
