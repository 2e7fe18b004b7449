"""TRL's `SFTTrainer` on whole optimizer steps: answers in padded micro-batches under a token budget.

Shapes: `N` rows of a micro-batch, `T` tokens of its longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from trl import SFTTrainer  # type: ignore[attr-defined]  # exported lazily

from engines.hf.self_check import acting_adapter, one_line, require_equal
from training.config import OptimConfig
from training.examples import EncodedAnswer
from training.logprobs import probe_answers, single_row_means
from training.steps.trainer import Micro, StepTrainer

_FILLER = 0
"""Token id of padding; any valid id will do, since the mask is 0 there."""
_IGNORED = -100
"""Label that transformers' cross-entropy ignores."""
_FUSED = "TRL's loss"
"""Name of what is compared, in messages."""
_INSTEAD = "dpo, ppo, rloo, grpo or distill, which use the model's own logits; or another model"
_AVERAGED = ("entropy", "mean_token_accuracy")
"""Metrics of TRL that are means over the answer tokens of a micro-batch."""


@dataclass(frozen=True)
class LossProbe:
    """What the loss of a few short answers must be."""

    rows: list[EncodedAnswer]
    means: list[torch.Tensor]
    """Mean log-probability (1,) of each answer in nats, by the model's own forward in single rows."""

    @classmethod
    def of(cls, model: Any) -> LossProbe:
        """Compute the losses of a model, with a new adapter acting."""
        rows = probe_answers(model)
        with acting_adapter(model):
            return cls(rows, single_row_means(model, rows))


class AnswerTrainer(StepTrainer[EncodedAnswer], SFTTrainer):  # type: ignore[misc]  # both set one flag
    """Minimises the mean negative log-likelihood per answer token of each optimizer step.

    The mean is over the tokens of the whole step, over all processes. Micro-batches have at most
    `optim.micro_tokens` tokens with padding and at most `optim.micro_batch` rows.

    Args:
        rows: encoded answers.
        held_out: answers to evaluate on.
        optim: sizes of steps and micro-batches.
        own: further arguments of `SFTTrainer`.
    """

    def __init__(
        self,
        rows: Sequence[EncodedAnswer],
        held_out: Sequence[EncodedAnswer],
        optim: OptimConfig,
        **own: Any,
    ) -> None:
        super().__init__(**own)
        self.use_rows(rows, optim.batch_size)
        self._optim = optim
        self._held_out = list(held_out)

    def tokens_of(self, row: EncodedAnswer) -> int:
        """Return the number of tokens of prompt and answer."""
        return len(row)

    def divisor(self, rows: Sequence[EncodedAnswer]) -> int:
        """Return the number of answer tokens."""
        return sum(len(row.answer_ids) for row in rows)

    def micro_batches(self, rows: Sequence[EncodedAnswer]) -> list[list[int]]:
        """Return the indices of the rows in groups of similar length, longest rows first."""
        return padded_micro_batches(list(map(len, rows)), self._optim.micro_tokens, self._optim.micro_batch)

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Run the rows of one optimizer step; see `StepTrainer.training_step`."""
        with self.maybe_activation_offload_context:
            loss = StepTrainer.training_step(self, model, inputs)
        self._average("train", self.shared(*inputs.values()))
        return loss

    def micro_loss(self, model: Any, micro: Micro[EncodedAnswer], divisor: int) -> torch.Tensor:
        """Return the summed negative log-likelihood of a micro-batch, divided by the step's tokens."""
        inputs = self._prepare_inputs(collate_answers(micro.rows))
        compute: Any = self.compute_loss
        with self.compute_loss_context_manager():
            loss = compute(model, inputs, num_items_in_batch=divisor)
        # TRL multiplies by the number of processes, as DDP averages gradients; `StepTrainer` does so too.
        mean: torch.Tensor = loss / self.args.world_size
        return mean

    def require_right_loss(self, probe: LossProbe, name: str) -> None:
        """Raise EngineError if TRL's loss is not that of the model's own logits.

        TRL multiplies hidden states and output head itself. It knows some ways in which models scale their
        logits, and no others.
        """
        model: Any = self.model
        with acting_adapter(model), torch.no_grad(), self.compute_loss_context_manager():
            with one_line(model, _FUSED, name, _INSTEAD):
                losses = [self.micro_loss(model, Micro((row,)), len(row.answer_ids)) for row in probe.rows]
            found = [-loss[None] for loss in losses]
            require_equal(model, _FUSED, found, probe.means, name, accepted=_INSTEAD)
        self._metrics["eval"].clear()  # TRL has recorded those of the probe

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Return and log the mean loss per answer token of the held-out answers."""
        model: Any = self.model
        model.eval()
        micros, divisor = self.shared(self._held_out), self.divisor(self._held_out)
        total = torch.zeros((), dtype=torch.float64, device=self.args.device)
        with torch.no_grad():
            for micro in micros:
                loss = self.micro_loss(model, micro, divisor)
                total += loss.double() * (0.0 if micro.idle else 1.0)
        self._average("eval", micros)
        metrics = {f"{metric_key_prefix}_loss": self.reduced(total).item()}
        self.log(metrics)  # TRL adds its own metrics
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _average(self, mode: str, micros: Sequence[Micro[EncodedAnswer]]) -> None:
        """Replace the metrics of the last micro-batches by their mean over answer tokens.

        TRL averages them over micro-batches, whose sizes differ.
        """
        own = torch.tensor([float(self.divisor(micro.rows)) for micro in micros], device=self.args.device)
        weights = self.reduced(own).tolist()
        for name in _AVERAGED:
            values: list[float] = self._metrics[mode][name]
            values[-len(micros) :] = [float(np.average(values[-len(micros) :], weights=weights))]


def padded_micro_batches(lengths: Sequence[int], tokens: int, rows: int) -> list[list[int]]:
    """Return the indices of rows in groups that, padded to their longest row, have at most `tokens` tokens.

    Rows of similar length are together, the longest first: little is padding, and a lack of memory shows at
    the first step. A row longer than `tokens` forms a group of its own.

    Args:
        lengths: tokens of each row.
        tokens: maximum tokens of a group, with padding.
        rows: maximum rows of a group.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if groups and len(groups[-1]) < rows and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= tokens:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def collate_answers(rows: Sequence[EncodedAnswer]) -> dict[str, Any]:
    """Return rows as (N, T) tensors, padded on the right, with labels on answer tokens only."""
    longest = max(map(len, rows))
    input_ids = torch.full((len(rows), longest), _FILLER)
    mask, labels = torch.zeros_like(input_ids), torch.full_like(input_ids, _IGNORED)
    for number, row in enumerate(rows):
        input_ids[number, : len(row)] = torch.tensor([*row.prompt_ids, *row.answer_ids])
        mask[number, : len(row)] = 1
        labels[number, len(row.prompt_ids) : len(row)] = torch.tensor(row.answer_ids)
    return {"input_ids": input_ids, "attention_mask": mask, "labels": labels}
