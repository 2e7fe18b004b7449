"""Choice of a checkpoint: the most compliant one within limits of quality.

A limit compares a checkpoint with `base` on the same texts or prompts. Where a measure is missing, its limit
is not applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from constitution.checks.evaluate import evaluate
from constitution.checks.prompted import check_on
from constitution.draw import in_scope
from constitution.schema import Constitution
from core.records import Answer
from evaluation.config import ChooseConfig
from evaluation.measures import is_empty

ComplianceBasis = Literal["checks", "judge", "last"]
"""What compliance is measured by: machine checks, the judge's win rate over base, or nothing. In the last
case, the last checkpoint within the limits is chosen."""
_ROUNDING = 1e-9
"""Means of shares differ from a limit such as 0.05 by rounding."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint with its measures on the validation prompts and neutral texts, or the base model."""

    name: str
    trained: int
    """Place in the order of training, from 0."""
    compliance: float | None = None
    """Share of the prompts with an answer that passes all checks, or the judge's win rate over base."""
    graded: float | None = None
    """Mean score of the checks, in [0, 1]."""
    finished: float = 1.0
    sameness: float = 0.0
    words: float = 0.0
    """Mean number of words."""
    neutral_loss: float | None = None
    """Mean loss on neutral text, in nats per token."""
    reference_loss: float | None = None
    """Mean loss on reference answers, in nats per token."""


@dataclass(frozen=True)
class ExceededLimit:
    """A limit that a candidate exceeds, and by how much."""

    limit: str
    """Name of the setting, such as `neutral_loss`."""
    value: float
    bound: float
    """The largest or smallest accepted value."""

    @property
    def by(self) -> float:
        """Distance from the bound, above 0."""
        return abs(self.value - self.bound)

    def __str__(self) -> str:
        text = _LIMIT_TEXTS[self.limit]
        side = "above" if self.value > self.bound else "below"
        return (
            f"{text.what} {text.number(self.value)}, {text.number(self.by)} {side} the limit "
            f"{text.number(self.bound)} (choose.{self.limit})"
        )


@dataclass(frozen=True)
class CheckpointChoice:
    """The chosen candidate, and the limits that each candidate exceeds."""

    chosen: Checkpoint | None
    """None if the base model stays."""
    exceeded: Mapping[str, tuple[ExceededLimit, ...]]
    """By the name of the candidate; empty for a candidate within the limits."""
    preferred: Checkpoint | None
    """The most compliant candidate of all, within the limits or not; None without candidates."""

    @property
    def bound(self) -> tuple[ExceededLimit, ...]:
        """The limits that excluded a more compliant candidate than the chosen one."""
        if self.preferred is None or self.preferred == self.chosen:
            return ()
        return self.exceeded[self.preferred.name]


def choose_checkpoint(
    base: Checkpoint, candidates: Iterable[Checkpoint], limits: ChooseConfig
) -> CheckpointChoice:
    """Return the most compliant candidate within the limits; the order of the candidates does not matter.

    Of equally compliant candidates, the one with the higher graded score is chosen, then the one with the
    lower neutral loss, then the one that was trained first. The base model stays if no candidate is within
    the limits, or none of those complies better than base. Without any measure of compliance the last
    candidate within the limits is chosen.
    """
    pool = sorted(candidates, key=lambda candidate: candidate.trained)
    exceeded = {candidate.name: exceeded_limits(candidate, base, limits) for candidate in pool}
    within = [candidate for candidate in pool if not exceeded[candidate.name]]
    best, preferred = max(within, key=_rank, default=None), max(pool, key=_rank, default=None)
    if best is not None and _is_measured(best) and _compliance(best) <= _compliance(base):
        best = None
    return CheckpointChoice(best, exceeded, preferred)


def exceeded_limits(
    candidate: Checkpoint, base: Checkpoint, limits: ChooseConfig
) -> tuple[ExceededLimit, ...]:
    """Return the limits that a candidate exceeds."""
    highest = {
        "neutral_loss": (_rise(candidate.neutral_loss, base.neutral_loss), limits.neutral_loss),
        "reference_loss": (_rise(candidate.reference_loss, base.reference_loss), limits.reference_loss),
        "sameness": (candidate.sameness, _at_least(limits.sameness, base.sameness)),
    }
    lowest = {
        "finished": (candidate.finished, base.finished if limits.finished == "base" else limits.finished)
    }
    if limits.length is not None and base.words:
        ratio = candidate.words / base.words
        lowest["length"], highest["length"] = (ratio, limits.length[0]), (ratio, limits.length[1])
    # Negated comparisons: a loss that is not a number exceeds its limit.
    over = [
        ExceededLimit(name, value, bound)
        for name, (value, bound) in highest.items()
        if value is not None and bound is not None and not value <= bound + _ROUNDING
    ]
    under = [
        ExceededLimit(name, value, bound)
        for name, (value, bound) in lowest.items()
        if value is not None and bound is not None and not value >= bound - _ROUNDING
    ]
    return (*over, *under)


def checked_answers(answers: Sequence[Answer], constitution: Constitution) -> tuple[float, float] | None:
    """Return exact and graded compliance of answers by the machine checks; None if no check applies.

    Exact compliance is the share of the prompts whose answer passes all checks in its scope, and graded
    compliance the mean of their scores, weighted by the principles. An empty answer does not comply.
    """
    exact: list[float] = []
    graded: list[float] = []
    for answer in answers:
        scored = [
            (
                principle.weight,
                evaluate(check_on(principle.check, answer.prompt), answer.generation.text).score,
            )
            for principle in constitution.steering
            if principle.check is not None and in_scope(principle, answer.prompt)
        ]
        if scored:
            counts = not is_empty(answer.generation.text)
            total = sum(weight for weight, _ in scored)
            exact.append(float(counts and all(score == 1.0 for _, score in scored)))
            mean = sum(weight * score for weight, score in scored) / total if total else 0.0
            graded.append(counts * mean)
    return (fmean(exact), fmean(graded)) if exact else None


def _rank(candidate: Checkpoint) -> tuple[float, ...]:
    if not _is_measured(candidate):
        return (float(candidate.trained),)
    loss = candidate.neutral_loss
    return (*_compliance(candidate), 0.0 if loss is None else -loss, -float(candidate.trained))


def _is_measured(candidate: Checkpoint) -> bool:
    return candidate.compliance is not None


def _compliance(candidate: Checkpoint) -> tuple[float, float]:
    return candidate.compliance or 0.0, candidate.graded or 0.0


def _rise(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value - base


def _at_least(limit: float | None, base: float) -> float | None:
    return None if limit is None else max(limit, base)


@dataclass(frozen=True)
class _LimitText:
    """How a limit is worded: what the candidate does, and its unit."""

    what: str
    unit: Literal["nats", "share", "ratio"]

    def number(self, value: float) -> str:
        if self.unit == "share":
            return f"{100 * value:.1f} %"
        return f"{value:.3f} nats a token" if self.unit == "nats" else f"{value:.2f} times base's"


_LIMIT_TEXTS = {
    "neutral_loss": _LimitText("its loss on neutral text rises by", "nats"),
    "reference_loss": _LimitText("its loss on reference answers rises by", "nats"),
    "sameness": _LimitText("its share of nearly the same answers is", "share"),
    "finished": _LimitText("its share of finished answers is", "share"),
    "length": _LimitText("its mean length is", "ratio"),
}
