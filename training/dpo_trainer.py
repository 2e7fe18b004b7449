"""`transformers.Trainer` with the soft DPO loss."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Trainer, TrainingArguments

from training.examples import EncodedPair
from training.logprobs import AnswerBatch, answer_logprobs, collate
from training.losses import soft_dpo_loss


@dataclass(frozen=True)
class _Row:
    """A pair with what the reference says of it."""

    pair: EncodedPair
    reference: torch.Tensor


class SoftDPOTrainer(Trainer):
    """Minimises the weighted mean over pairs of `soft_dpo_loss`.

    Logs TRL's names: `rewards/chosen`, `rewards/rejected` (beta times the log-ratio to the reference, nats),
    `rewards/margins`, `rewards/accuracies` (share of pairs with a positive margin; ties of one half count by
    the label), and `logps/chosen`, `logps/rejected` (nats, summed over the answer).

    Args:
        policy: the model with the adapter to train.
        arguments: as for any trainer.
        pairs: encoded pairs.
        reference: (B, 2) log-probabilities of chosen and rejected under the reference, in nats.
        beta: strength of the tie to the reference.
    """

    loss_is_scaled_for_ga = True
    """The loss is a mean over the whole optimizer step, so the trainer must not divide it again."""

    def __init__(
        self,
        policy: Any,
        arguments: TrainingArguments,
        pairs: Sequence[EncodedPair],
        reference: torch.Tensor,
        beta: float,
    ) -> None:
        rows = [_Row(pair, logprobs) for pair, logprobs in zip(pairs, reference, strict=True)]
        super().__init__(model=policy, args=arguments, train_dataset=rows, data_collator=collate_pairs)
        self._beta = beta
        self._sums: dict[str, float] = defaultdict(float)
        self._pairs = 0

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the sum of the weighted losses over the pairs of the optimizer step (a scalar, nats)."""
        batch = AnswerBatch(*(inputs[name] for name in AnswerBatch.__dataclass_fields__))
        logprobs = answer_logprobs(model, batch)
        ratios = logprobs - inputs["reference"].to(logprobs.dtype)
        chosen, rejected = ratios.chunk(2)
        losses = soft_dpo_loss(chosen, rejected, inputs["p_chosen"].to(logprobs.dtype), self._beta)
        count = num_items_in_batch if num_items_in_batch is not None else len(losses)
        loss = (losses * inputs["weight"].to(logprobs.dtype)).sum() / count
        self._count(chosen.detach(), rejected.detach(), logprobs.detach())
        return (loss, {"logprobs": logprobs}) if return_outputs else loss

    def _get_num_items_in_batch(
        self, batch_samples: list[dict[str, torch.Tensor]], device: torch.device
    ) -> torch.Tensor:
        """Return the pairs of an optimizer step; with several processes, those of one, on average."""
        count = torch.tensor(float(sum(len(batch["p_chosen"]) for batch in batch_samples)), device=device)
        if self.args.world_size > 1:
            count = self.accelerator.gather(count).mean()
        return count

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the trainer's figures with ours, averaged over the pairs since the last time."""
        if self._pairs:
            logs |= {name: total / self._pairs for name, total in self._sums.items()}
            self._sums.clear()
            self._pairs = 0
        super().log(logs, start_time)

    def _count(self, chosen: torch.Tensor, rejected: torch.Tensor, logprobs: torch.Tensor) -> None:
        """Add up the figures of a micro-batch: log-ratios (B,) each, log-probabilities (2B,)."""
        first, second = logprobs.chunk(2)
        for name, values in {
            "rewards/chosen": self._beta * chosen,
            "rewards/rejected": self._beta * rejected,
            "rewards/margins": self._beta * (chosen - rejected),
            "rewards/accuracies": (chosen > rejected).float(),
            "logps/chosen": first,
            "logps/rejected": second,
        }.items():
            self._sums[name] += values.sum().item()
        self._pairs += len(chosen)


def collate_pairs(rows: Sequence[_Row]) -> dict[str, torch.Tensor]:
    """Return B pairs as one batch of 2B rows, all chosen ones first, with label, weight and reference."""
    batch = collate([row.pair.chosen for row in rows] + [row.pair.rejected for row in rows])
    reference = torch.stack([row.reference for row in rows])
    return {
        **vars(batch),
        "reference": torch.cat([reference[:, 0], reference[:, 1]]),
        "p_chosen": torch.tensor([row.pair.p_chosen for row in rows], dtype=torch.float64),
        "weight": torch.tensor([row.pair.weight for row in rows], dtype=torch.float64),
    }
