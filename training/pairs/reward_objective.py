"""Reward model objective over packed pairs.

Shapes: `B` pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from engines.hf.reward_model import score_head, tree_scores
from training.examples import EncodedPair
from training.pairs.losses import centering_loss, soft_reward_loss
from training.steps.objective import BatchMetrics


class RewardObjective:
    """Bradley-Terry loss with a label, a margin and a weight per pair, and the centring loss.

    Metrics have TRL's names: `accuracy` (share of pairs whose chosen answer scores higher), `margin`,
    `mean_reward`.

    Args:
        classifier: the model in training, not wrapped.
        center: weight of the squared sum of scores.
        packed: score answers in packed rows; else one by one.
    """

    def __init__(self, classifier: Any, center: float, *, packed: bool) -> None:
        self._head = score_head(classifier)
        self._center = center
        self._packed = packed

    def losses(self, model: Any, pairs: Sequence[EncodedPair]) -> tuple[torch.Tensor, BatchMetrics]:
        """Return the weighted losses (B,) and the metrics to log."""
        trees = [pair.tree for pair in pairs]
        scores = tree_scores(model, trees, self._head, packed=self._packed)
        chosen, rejected = scores.view(-1, 2).unbind(dim=1)
        labels, margins, weights = (
            scores.new_tensor([getattr(pair, name) for pair in pairs])
            for name in ("p_chosen", "margin", "weight")
        )
        losses = soft_reward_loss(chosen, rejected, labels, margins)
        losses = losses + self._center * centering_loss(chosen, rejected)
        metrics = {
            "accuracy": (chosen > rejected).float(),
            "margin": (chosen - rejected).detach(),
            "mean_reward": scores.detach().view(-1, 2).mean(dim=1),
        }
        return losses * weights, metrics

    def warnings(self, history: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        """Return no warnings: the report on held-out pairs shows problems of a reward model."""
        return ()
