"""What a labeler says about gold pairs: its judgments, and the label that a run would make of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from constitution.schema import Constitution
from core.records import Judgment
from evaluation.judges.gold import GoldPair
from labelers.crowd.aggregate import Settled, aggregated_outcome

LEAST_PROBABILITY = 1e-6
"""Probabilities are clipped to this distance from 0 and 1: one certain error would make the NLL infinite."""


@dataclass(frozen=True)
class JudgedPair:
    """A gold pair with a labeler's judgments of it."""

    gold: GoldPair
    judgments: tuple[Judgment, ...]
    log_odds: float | None
    """Log-odds of the aggregated label that `a` is better, in nats; None without a label."""
    reason: str = ""
    """Why there is no label."""

    @property
    def margin(self) -> float | None:
        """Log-odds that the better answer is better; None without a label."""
        return None if self.log_odds is None else self.gold.sign * self.log_odds

    @property
    def right(self) -> float | None:
        """1 if the label prefers the better answer, 0 if the other, 0.5 for a tie; None without a label."""
        return None if self.margin is None else right_of(self.margin)


def right_of(margin: float) -> float:
    """Return 1 for a positive margin, 0 for a negative one and one half for 0."""
    return (1.0 + (margin > 0) - (margin < 0)) / 2


def judged_pair(gold: GoldPair, judgments: Iterable[Judgment], constitution: Constitution) -> JudgedPair:
    """Return a gold pair with its judgments and their aggregate, as in a run's preferences.

    Args:
        gold: the pair.
        judgments: the labeler's judgments of it.
        constitution: its weights and tiers aggregate them; its machine checks have no part in the label.
    """
    found = tuple(judgments)
    asked = tuple(principle for principle in constitution.principles if principle.check is None)
    judged = constitution.model_copy(update={"principles": asked})
    outcome = aggregated_outcome(gold.comparison, found, judged)
    if isinstance(outcome, Settled):
        return JudgedPair(gold, found, log_odds_of(outcome.p_a))
    unreadable = bool(found) and all(judgment.verdict == "unparsed" for judgment in found)
    return JudgedPair(gold, found, None, "no judgment could be parsed" if unreadable else outcome)


def log_odds_of(p: float) -> float:
    """Return the log-odds of a probability, clipped to `LEAST_PROBABILITY`."""
    clipped = min(max(p, LEAST_PROBABILITY), 1 - LEAST_PROBABILITY)
    return math.log(clipped / (1 - clipped))


def outcomes(pairs: Sequence[JudgedPair]) -> dict[str, int]:
    """Return the number of judgments by verdict and problem, and of pairs without a label by reason."""
    verdicts = Counter(judgment.verdict for pair in pairs for judgment in pair.judgments)
    reasons = Counter(pair.reason for pair in pairs if pair.log_odds is None)
    problems = Counter(j.problem for pair in pairs for j in pair.judgments if j.problem is not None)
    found = {f"verdict {name}": count for name, count in sorted(verdicts.items())}
    found |= {f"problem {name}": count for name, count in sorted(problems.items())}
    return found | {f"no label: {reason}": count for reason, count in sorted(reasons.items())}
