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


def unflipped(p_chosen: torch.Tensor, flipped: float) -> torch.Tensor:
    """Return the labels (B,) that are right on average where a share `flipped` of them is wrong.

    Robust DPO (Chowdhury et al. 2024, arXiv 2403.00409, equation 12) weighs the two ways round by
    `(1 - e) / (1 - 2e)` and `-e / (1 - 2e)`. For a label `p` that is the soft loss at

        (p - e) / (1 - 2e),

    which leaves [0, 1] for a label surer than `1 - e`: the loss then has no minimum, as theirs.

    Args:
        p_chosen: (B,) labels.
        flipped: the share, in [0, 0.5).
    """
    return (p_chosen - flipped) / (1 - 2 * flipped)


def soft_ipo_loss(
    chosen_logratios: torch.Tensor,
    rejected_logratios: torch.Tensor,
    p_chosen: torch.Tensor,
    beta: float,
) -> torch.Tensor:
    """Return the IPO loss of each pair, (B,), not yet weighted or averaged.

    With `m = chosen_logratio - rejected_logratio` (Azar et al. 2023, arXiv 2310.12036, equation 17, with both
    ways round of a pair counted by the label):

        loss = p * (m - 1 / (2 beta))^2 + (1 - p) * (m + 1 / (2 beta))^2

    whose minimum lies at `m = (2p - 1) / (2 beta)`: a tie draws the margin to 0.

    Args:
        chosen_logratios: (B,) log-ratio to the reference per token of the chosen answer; the mean, not the
            sum, as its authors and TRL take it.
        rejected_logratios: (B,) the same of the rejected answer.
        p_chosen: (B,) probability that the chosen answer is the better one, in [0, 1].
        beta: strength of the tie to the reference, tau in the paper.
    """
    margin, target = chosen_logratios - rejected_logratios, 1 / (2 * beta)
    return p_chosen * (margin - target) ** 2 + (1 - p_chosen) * (margin + target) ** 2


def soft_reward_loss(
    chosen_scores: torch.Tensor,
    rejected_scores: torch.Tensor,
    p_chosen: torch.Tensor,
    margin: torch.Tensor,
) -> torch.Tensor:
    """Return the reward model's loss of each pair, (B,), in nats, not yet weighted or averaged.

    The Bradley-Terry probability that `chosen` is better, `sigmoid(d)` of the difference `d` of scores
    (Ouyang et al. 2022, arXiv 2203.02155, equation 1), shifted by the margin (Touvron et al. 2023, arXiv
    2307.09288, equation 2), in cross-entropy to the label `p` (Lee et al. 2023, arXiv 2309.00267):

        loss = -p * log sigmoid(d - margin) - (1 - p) * log sigmoid(margin - d)

    Its minimum lies at `d = margin + logit(p)`, so that a tie without a margin draws both scores together.

    Args:
        chosen_scores: (B,) scores of the chosen answers.
        rejected_scores: (B,) scores of the rejected answers.
        p_chosen: (B,) probability that the chosen answer is the better one, in [0, 1].
        margin: (B,) by how much its score should exceed the other's, beyond what the label says.
    """
    logits = chosen_scores - rejected_scores - margin
    return -p_chosen * logsigmoid(logits) - (1 - p_chosen) * logsigmoid(-logits)


def centering_loss(chosen_scores: torch.Tensor, rejected_scores: torch.Tensor) -> torch.Tensor:
    """Return (B,) the square of the sum of a pair's scores, which their difference leaves open.

    Eisenstein et al. 2023, arXiv 2312.09244, section 2: scores without an origin cannot be averaged over
    ensembles, nor stand beside a KL penalty.
    """
    return (chosen_scores + rejected_scores) ** 2
