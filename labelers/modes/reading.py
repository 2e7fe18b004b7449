"""What the answers of a judge say about two replies, and the rules that turn them into a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.records import JudgmentProblem, OrderLogits, Verdict
from engines.protocols import ChoiceScores


@dataclass(frozen=True, slots=True)
class JudgeReading:
    """What the answers of a judge say about two replies under one principle."""

    model: str
    log_odds: float | None
    """log P(a better) - log P(b better), in nats; None if the answers give no number."""
    problem: JudgmentProblem | None = None
    """Why the log-odds mean nothing."""
    orders: OrderLogits | None = None
    """The log-odds in each presentation order, where both replies are shown together."""
    margin: float | None = None
    """How much better `a` is on the mode's own scale, where each reply is judged by itself."""
    answer_mass: float | None = None
    """The smallest probability mass on offered answers in any of the judge's answers."""
    raw: str | None = None
    """What the judge wrote, or would have written, where that has no readable verdict."""
    comment: str | None = None
    """Reasons that the judge wrote."""

    @property
    def p_a(self) -> float | None:
        """The probability that `a` is better; None if the answers have no readable verdict."""
        return None if self.problem or self.log_odds is None else logistic(self.log_odds)

    @property
    def verdict(self) -> Verdict:
        """The verdict; a judge that abstains skips the comparison."""
        if self.problem == "abstained":
            return "skip"
        return "unparsed" if self.p_a is None else verdict_of(self.p_a)


def is_readable(scores: ChoiceScores, min_mass: float) -> bool:
    """Return True if the offered answers have enough probability to be an answer.

    A server that does not report their mass is believed. A mass of 0 is none, whatever the limit.
    """
    mass = scores.answer_mass
    return mass is None or (mass > 0 and mass >= min_mass)


def smallest_mass(*scores: ChoiceScores) -> float | None:
    """Return the smallest mass on offered answers; None if no answer reports it."""
    return min((one.answer_mass for one in scores if one.answer_mass is not None), default=None)


def mean_log_odds(orders: OrderLogits) -> float:
    """Return the mean of the log-odds of both orders, in which a constant position bias cancels."""
    return (orders.a_first + orders.b_first) / 2


def probability(orders: OrderLogits) -> float:
    """Return the probability that `a` is better: the sigmoid of the mean log-odds of both orders."""
    return logistic(mean_log_odds(orders))


def logistic(log_odds: float) -> float:
    """Return the probability with these log-odds."""
    return 1 / (1 + math.exp(-log_odds)) if log_odds >= 0 else math.exp(log_odds) / (1 + math.exp(log_odds))


def verdict_of(p_a: float) -> Verdict:
    """Return the verdict that a probability implies; a tie is exactly one half."""
    if p_a == 0.5:
        return "tie"
    return "a" if p_a > 0.5 else "b"
