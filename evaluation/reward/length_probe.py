"""Length bias of a reward model (Singhal et al. 2023, arXiv 2310.03716).

Reward models learn that longer is better, and policies trained on them then write longer answers rather than
better ones. Labels that penalise length have the opposite effect. Lengths are in tokens of the answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.records import Metric
from core.statistics.bootstrap import Floats
from evaluation.reward.metrics import EVEN, ScoredPair, accuracy, weighted_share

MATCHED = 0.1
"""Maximum difference in length, as a share of the longer answer, of answers with matched lengths."""
STRONG = 0.5
"""Absolute rank correlation above which a warning is given."""

LengthBias = Literal["longer", "shorter"]


@dataclass(frozen=True)
class LengthProbe:
    """Correlations of reward and length, and accuracies by relative length of the better answer.

    A correlation is None if all rewards or all lengths are the same. An accuracy is None if there are no such
    pairs; otherwise its `n` is the number of pairs.
    """

    answers: int
    """Number of answers in the first two correlations: both answers of every pair."""
    pearson: float | None
    """Pearson correlation of reward and number of tokens, over all answers."""
    spearman: float | None
    """Spearman rank correlation of reward and number of tokens, over all answers."""
    within_pairs: float | None
    """Pearson correlation of the differences in reward and in tokens. A Bradley-Terry model determines
    rewards only up to an offset per prompt, which cancels in differences."""
    shorter_better: Metric | None
    """Accuracy on pairs with a shorter better answer."""
    longer_better: Metric | None
    """Accuracy on pairs with a longer better answer."""
    longer_rule: Metric | None
    """Accuracy of the rule that the longer answer is better; equal lengths count as half correct."""
    matched: Metric | None
    """Accuracy on pairs with lengths that differ by at most 10 % of the longer answer."""


def probe_length(pairs: Sequence[ScoredPair]) -> LengthProbe:
    """Compute the length probe of the pairs; accuracies are weighted, correlations are not."""
    rewards = np.asarray([(pair.chosen_reward, pair.rejected_reward) for pair in pairs], dtype=np.float64)
    tokens = np.asarray([(pair.chosen_tokens, pair.rejected_tokens) for pair in pairs], dtype=np.float64)
    # Use both directions, so the result does not depend on which answer is called chosen.
    more_reward = np.concatenate([rewards[:, 0] - rewards[:, 1], rewards[:, 1] - rewards[:, 0]])
    more_tokens = np.concatenate([tokens[:, 0] - tokens[:, 1], tokens[:, 1] - tokens[:, 0]])
    leads = [_lead(pair) for pair in pairs]
    decided = [(pair, lead) for pair, lead in zip(pairs, leads, strict=True) if pair.right is not None]
    return LengthProbe(
        answers=2 * len(pairs),
        pearson=pearson(rewards.ravel(), tokens.ravel()),
        spearman=spearman(rewards.ravel(), tokens.ravel()),
        within_pairs=pearson(more_reward, more_tokens),
        shorter_better=accuracy(
            "reward.accuracy.shorter_better", [pair for pair, lead in decided if lead < 0]
        ),
        longer_better=accuracy("reward.accuracy.longer_better", [pair for pair, lead in decided if lead > 0]),
        longer_rule=weighted_share(
            "longer_is_better.accuracy",
            [EVEN * (1 + np.sign(lead)) for _, lead in decided],
            [pair.weight for pair, _ in decided],
            [pair.cluster for pair, _ in decided],
        ),
        matched=accuracy("reward.accuracy.matched", [pair for pair in pairs if is_matched(pair)]),
    )


def pearson(x: Floats, y: Floats) -> float | None:
    """Return the Pearson correlation of x and y, both (N,); None if one of them is constant or empty."""
    if not len(x) or x.min() == x.max() or y.min() == y.max():
        return None
    # Scale first, or squares of large rewards could overflow.
    a, b = ((values - values.mean()) / np.abs(values - values.mean()).max() for values in (x, y))
    return float(np.clip((a @ b) / math.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def spearman(x: Floats, y: Floats) -> float | None:
    """Return the Spearman correlation of x and y, both (N,); equal values share their mean rank."""
    from scipy.stats import rankdata

    return pearson(np.asarray(rankdata(x)), np.asarray(rankdata(y)))


def is_matched(pair: ScoredPair) -> bool:
    """Return True if both answers have about the same length."""
    longer = max(pair.chosen_tokens, pair.rejected_tokens)
    return abs(pair.chosen_tokens - pair.rejected_tokens) <= MATCHED * longer


def length_bias(probe: LengthProbe) -> LengthBias | None:
    """Return whether the model prefers longer or shorter answers regardless of quality, or None.

    The model is biased if it is mostly right where the preferred length is better, mostly wrong where the
    other is, and the 95 % interval of the difference of the two accuracies excludes zero (Newcombe,
    Statistics in Medicine 1998, method 10, from the two Wilson intervals).
    """
    shorter, longer = probe.shorter_better, probe.longer_better
    if shorter is None or longer is None:
        return None
    if _is_apart(shorter, longer):
        return "longer"
    return "shorter" if _is_apart(longer, shorter) else None


def _is_apart(wrong: Metric, right: Metric) -> bool:
    """Return True if `wrong` is below one half, `right` above it, and their difference is beyond noise."""
    if not wrong.value < EVEN < right.value:
        return False
    down = right.value - (right.value if right.low is None else right.low)
    up = (wrong.value if wrong.high is None else wrong.high) - wrong.value
    return right.value - wrong.value > math.hypot(down, up)


def _lead(pair: ScoredPair) -> int:
    """Return the better answer's length minus the other's, in tokens; in a tie, `chosen` counts as better."""
    more = pair.chosen_tokens - pair.rejected_tokens
    return more if pair.p_chosen >= EVEN else -more
