"""Losses on preferences that carry a probability.

Shapes: `B` pairs. Log-probabilities are sums over the answer's tokens, in nats.
"""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid


def soft_dpo_loss(
    chosen_logratios: torch.Tensor,
    rejected_logratios: torch.Tensor,
    p_chosen: torch.Tensor,
    beta: float,
) -> torch.Tensor:
    """Return the DPO loss of each pair, (B,), in nats, not yet weighted or averaged.

    With the margin `m = chosen_logratio - rejected_logratio`, the policy's own probability that `chosen` is
    better is `sigmoid(beta * m)` (Rafailov et al. 2023, arXiv 2305.18290, equation 6). The loss is its
    cross-entropy to the label `p`:

        loss = -p * log sigmoid(beta * m) - (1 - p) * log sigmoid(-beta * m)

    At `p = 1` this is the DPO loss (their equation 7); its gradient with respect to `m` is
    `beta * (sigmoid(beta * m) - p)`, so that the minimum lies at `m = logit(p) / beta` and a tie draws the
    margin to 0 (conservative DPO with one label smoothing per pair; Mitchell 2023).

    Args:
        chosen_logratios: (B,) log-probability of the chosen answer under the policy less under the reference.
        rejected_logratios: (B,) the same of the rejected answer.
        p_chosen: (B,) probability that the chosen answer is the better one, in [0, 1].
        beta: strength of the tie to the reference.
    """
    logits = beta * (chosen_logratios - rejected_logratios)
    return -p_chosen * logsigmoid(logits) - (1 - p_chosen) * logsigmoid(-logits)
