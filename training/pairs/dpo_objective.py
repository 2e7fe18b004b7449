"""DPO objective over packed pairs.

Shapes: `B` pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from training.config import DPOConfig
from training.examples import EncodedPair
from training.history import CHOSEN_RATIO, chosen_fall
from training.packed import PolicyScorer
from training.pairs.losses import soft_dpo_loss, soft_ipo_loss, unflipped
from training.steps.objective import BatchMetrics


class DPOObjective:
    """The loss selected by `dpo.loss`, with a label and a weight per pair, and the SFT term.

    Metrics have TRL's names: `rewards/chosen`, `rewards/rejected` (beta times the log-ratio to the reference,
    nats), `rewards/margins`, `rewards/accuracies` (share of pairs with a positive margin), `logps/chosen` and
    `logps/rejected` (nats, summed over the answer).

    Args:
        config: the loss and its parameters.
        scorer: log-probabilities under the policy.
    """

    def __init__(self, config: DPOConfig, scorer: PolicyScorer) -> None:
        self._config = config
        self._scorer = scorer

    def losses(self, model: Any, pairs: Sequence[EncodedPair]) -> tuple[torch.Tensor, BatchMetrics]:
        """Return the weighted losses (B,) and the metrics to log."""
        logprobs = self._scorer(model, [pair.tree for pair in pairs]).view(-1, 2)
        like = logprobs.new_tensor  # on the same device, in the same data type
        reference = like([pair.reference for pair in pairs])
        lengths = like([[max(1, len(answer)) for answer in pair.tree.answers] for pair in pairs])
        labels, weights = (like([getattr(pair, name) for pair in pairs]) for name in ("p_chosen", "weight"))
        ratios = logprobs - reference
        losses = self._preference_losses(ratios, lengths, labels)
        if self._config.sft_coef:
            # Mean per token (Pang et al. 2024, arXiv 2404.19733, equation 1): sums would favour long answers.
            losses = losses - self._config.sft_coef * logprobs[:, 0] / lengths[:, 0]
        return losses * weights, self._metrics(logprobs, ratios, lengths)

    def warnings(self, history: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        """Return a warning if chosen answers have become much less likely than under the reference."""
        limit = self._config.chosen_fall
        fallen = chosen_fall(history, limit) if limit is not None else None
        if fallen is None:
            return ()
        return (
            f"from step {fallen[0]} on, chosen answers were {fallen[1]:.2f} nats per token less likely than "
            "at the start: consider dpo.sft_coef, a larger dpo.beta or a smaller learning rate",
        )

    def _preference_losses(
        self, ratios: torch.Tensor, lengths: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """Return the losses (B,) of log-ratios (B, 2) of chosen and rejected answers."""
        config = self._config
        if config.loss == "ipo":
            # IPO's target margin does not grow with length: means per token, as in TRL.
            chosen, rejected = (ratios / lengths).unbind(dim=1)
            return soft_ipo_loss(chosen, rejected, labels, config.beta)
        if config.loss == "robust":
            labels = unflipped(labels, config.flipped)
        return soft_dpo_loss(ratios[:, 0], ratios[:, 1], labels, config.beta)

    def _metrics(self, logprobs: torch.Tensor, ratios: torch.Tensor, lengths: torch.Tensor) -> BatchMetrics:
        chosen, rejected = (self._config.beta * ratios.detach()).unbind(dim=1)
        return {
            "rewards/chosen": chosen,
            "rewards/rejected": rejected,
            "rewards/margins": chosen - rejected,
            "rewards/accuracies": (chosen > rejected).float(),
            "logps/chosen": logprobs.detach()[:, 0],
            "logps/rejected": logprobs.detach()[:, 1],
            CHOSEN_RATIO: (ratios.detach() / lengths)[:, 0],
        }
