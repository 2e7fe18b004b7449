"""How far a reward model goes by length (Singhal et al. 2023, arXiv 2310.03716).

Reward models learn that longer is better, and policies trained on them then write longer answers rather than
better ones; labels that punish length teach the contrary. Lengths are in tokens of the answers.
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
"""Answers are of about the same length if they differ by at most this share of the longer one."""
STRONG = 0.5
"""A rank correlation beyond this is a warning."""

Liking = Literal["longer", "shorter"]


@dataclass(frozen=True)
class LengthProbe:
    """Correlations of reward and length, and accuracies by which answer is the longer one.

    A correlation is None where it has no value: all rewards, or all lengths, are the same. An accuracy is
    None where no pair counts; each holds how many do.
    """

    answers: int
    """How many the first two correlations are over: both of every pair."""
    pearson: float | None
    """Of reward and tokens, over all answers."""
    spearman: float | None
    """Of their ranks."""
    within_pairs: float | None
    """Pearson's, of difference in reward and difference in tokens. A Bradley-Terry model fixes rewards only
    up to a number that each prompt may have for itself; in differences it cancels."""
    shorter_better: Metric | None
    """Accuracy where the better answer is the shorter one."""
    longer_better: Metric | None
    """Accuracy where the better answer is the longer one."""
    longer_rule: Metric | None
    """Accuracy of the rule that the longer answer is better; same length counts as half."""
    matched: Metric | None
    """Accuracy on answers whose lengths differ by at most 10 % of the longer one."""


def probe_length(pairs: Sequence[ScoredPair]) -> LengthProbe:
    """Return how rewards and lengths go together; accuracies are by weight, correlations count all alike."""
    rewards = np.asarray([(pair.chosen_reward, pair.rejected_reward) for pair in pairs], dtype=np.float64)
    tokens = np.asarray([(pair.chosen_tokens, pair.rejected_tokens) for pair in pairs], dtype=np.float64)
    # Taken in both directions, so that it has no say which answer is called chosen.
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
        ),
        matched=accuracy("reward.accuracy.matched", [pair for pair in pairs if is_matched(pair)]),
    )


def pearson(x: Floats, y: Floats) -> float | None:
    """Return the correlation of x and y, both (N,); None if one of them is constant, or empty."""
    if not len(x) or x.min() == x.max() or y.min() == y.max():
        return None
    # Scaled first, so that squares of large rewards do not overflow.
    a, b = ((values - values.mean()) / np.abs(values - values.mean()).max() for values in (x, y))
    return float(np.clip((a @ b) / math.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def spearman(x: Floats, y: Floats) -> float | None:
    """Return the correlation of the ranks of x and y, both (N,); equal values share their mean rank."""
    from scipy.stats import rankdata

    return pearson(np.asarray(rankdata(x)), np.asarray(rankdata(y)))


def is_matched(pair: ScoredPair) -> bool:
    """Return whether both answers are of about the same length."""
    longer = max(pair.chosen_tokens, pair.rejected_tokens)
    return abs(pair.chosen_tokens - pair.rejected_tokens) <= MATCHED * longer


def goes_by_length(probe: LengthProbe) -> Liking | None:
    """Return which answers the model goes for: mostly right where they are better, mostly wrong elsewhere.

    Beyond noise: the 95 % interval of the difference of the two accuracies excludes zero (Newcombe,
    Statistics in Medicine 1998, method 10, built of the two Wilson intervals). Otherwise None.
    """
    shorter, longer = probe.shorter_better, probe.longer_better
    if shorter is None or longer is None:
        return None
    if _is_apart(shorter, longer):
        return "longer"
    return "shorter" if _is_apart(longer, shorter) else None


def _is_apart(wrong: Metric, right: Metric) -> bool:
    """Return whether one accuracy is below one half and the other above it, by more than noise."""
    if not wrong.value < EVEN < right.value:
        return False
    down = right.value - (right.value if right.low is None else right.low)
    up = (wrong.value if wrong.high is None else wrong.high) - wrong.value
    return right.value - wrong.value > math.hypot(down, up)


def _lead(pair: ScoredPair) -> int:
    """Return how many tokens the better answer has more than the other; of a tie, `chosen` is as good."""
    more = pair.chosen_tokens - pair.rejected_tokens
    return more if pair.p_chosen >= EVEN else -more
