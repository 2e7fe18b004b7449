"""Losses for preference pairs with soft labels.

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
    """Return the DPO loss of each pair (B,), in nats, neither weighted nor averaged.

    With the margin `m = chosen_logratio - rejected_logratio`, the policy's own probability that `chosen` is
    better is `sigmoid(beta * m)` (Rafailov et al. 2023, arXiv 2305.18290, equation 6). The loss is its
    cross-entropy to the label `p`:

        loss = -p * log sigmoid(beta * m) - (1 - p) * log sigmoid(-beta * m)

    At `p = 1` this is the DPO loss (their equation 7); its gradient with respect to `m` is
    `beta * (sigmoid(beta * m) - p)`. The minimum is at `m = logit(p) / beta`, and a tie draws the margin to 0
    (conservative DPO with a label smoothing for each pair; Mitchell 2023).

    Args:
        chosen_logratios: (B,) log-probability of the chosen answer under the policy minus the reference's.
        rejected_logratios: (B,) the same of the rejected answer.
        p_chosen: (B,) probability that the chosen answer is the better one, in [0, 1].
        beta: strength of the penalty on divergence from the reference.
    """
    logits = beta * (chosen_logratios - rejected_logratios)
    return -p_chosen * logsigmoid(logits) - (1 - p_chosen) * logsigmoid(-logits)


def unflipped(p_chosen: torch.Tensor, flipped: float) -> torch.Tensor:
    """Return labels (B,) that are unbiased if a share `flipped` of the given labels is flipped.

    Robust DPO (Chowdhury et al. 2024, arXiv 2403.00409, equation 12) weights the pair and the swapped pair by
    `(1 - e) / (1 - 2e)` and `-e / (1 - 2e)`. For a label `p` this equals the soft loss at

        (p - e) / (1 - 2e),

    which is outside [0, 1] for a label more certain than `1 - e`. The loss then has no minimum, as theirs.

    Args:
        p_chosen: (B,) labels.
        flipped: the share of flipped labels, in [0, 0.5).
    """
    return (p_chosen - flipped) / (1 - 2 * flipped)


def soft_ipo_loss(
    chosen_logratios: torch.Tensor,
    rejected_logratios: torch.Tensor,
    p_chosen: torch.Tensor,
    beta: float,
) -> torch.Tensor:
    """Return the IPO loss of each pair (B,), neither weighted nor averaged.

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
    """Return the reward model loss of each pair (B,), in nats, neither weighted nor averaged.

    The Bradley-Terry probability that `chosen` is better, `sigmoid(d)` of the difference `d` of scores
    (Ouyang et al. 2022, arXiv 2203.02155, equation 1), shifted by the margin (Touvron et al. 2023, arXiv
    2307.09288, equation 2), in cross-entropy to the label `p` (Lee et al. 2023, arXiv 2309.00267):

        loss = -p * log sigmoid(d - margin) - (1 - p) * log sigmoid(margin - d)

    Its minimum is at `d = margin + logit(p)`, so a tie without a margin draws both scores together.

    Args:
        chosen_scores: (B,) scores of the chosen answers.
        rejected_scores: (B,) scores of the rejected answers.
        p_chosen: (B,) probability that the chosen answer is the better one, in [0, 1].
        margin: (B,) required lead of the chosen score, on top of what the label implies.
    """
    logits = chosen_scores - rejected_scores - margin
    return -p_chosen * logsigmoid(logits) - (1 - p_chosen) * logsigmoid(-logits)


def centering_loss(chosen_scores: torch.Tensor, rejected_scores: torch.Tensor) -> torch.Tensor:
    """Return the squared sum of each pair's scores (B,), which the preference loss leaves undetermined.

    Eisenstein et al. 2023, arXiv 2312.09244, section 2: scores without an origin cannot be averaged over an
    ensemble or combined with a KL penalty.
    """
    return (chosen_scores + rejected_scores) ** 2
