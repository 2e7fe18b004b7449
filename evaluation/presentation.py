"""Presentation of metrics: lookup by variant and measure, formatting, and comparison with noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from core.records import Metric
from evaluation.config import BASE
from evaluation.measures import COMPLIANCE
from evaluation.metrics import DELTA, variant_rank
from evaluation.win_rate import WIN_RATE

MIN_PROMPTS = 6
"""Minimum number of prompts for a difference beyond noise. If nothing changed, all of n prompts move the same
way with a probability of 2^(1 - n) (two-sided sign test), which is below 5 % only for n >= 6."""
FEW_PROMPTS = 30
"""Number of prompts below which percentile intervals are noticeably too narrow."""

ChangeOutcome = Literal["better", "worse", "other", "noise", "same"]
"""Change from `base`: better or worse beyond noise; beyond noise for a measure without a preferred direction
(`other`); not beyond noise (`noise`); or no difference on any prompt (`same`)."""
BEYOND_NOISE: frozenset[ChangeOutcome | None] = frozenset({"better", "worse", "other"})

_TITLES = {
    COMPLIANCE: "all checks",
    WIN_RATE: "win rate",
    "words": "words",
    "finished": "finished",
    "empty": "empty",
    "repeated": "repeats itself",
    "duplicate": "same as another",
    "kl": "KL",
}
_UNITS = {"share": "%", "nats": "nats/token"}
_BETTER = {COMPLIANCE: 1, WIN_RATE: 1, "finished": 1, "empty": -1, "repeated": -1, "duplicate": -1}
"""Preferred direction by measure; the other measures have none."""
_EVEN = 0.5
"""Win rate of answers that are as good as the base model's."""


@dataclass(frozen=True)
class EvaluationMetrics:
    """The metrics of an evaluation, by variant and measure."""

    variants: tuple[str, ...]
    """Names of the variants, `base` first."""
    measures: tuple[str, ...]
    """Names of the measures: compliance and win rate first, then the others in order of appearance."""
    values: Mapping[tuple[str, str], Metric]
    deltas: Mapping[tuple[str, str], Metric]
    """Paired differences from `base`."""

    @classmethod
    def of(cls, metrics: Iterable[Metric]) -> EvaluationMetrics:
        """Arrange metrics by the variant and measure in their names."""
        values: dict[tuple[str, str], Metric] = {}
        deltas: dict[tuple[str, str], Metric] = {}
        for metric in metrics:
            variant, _, measure = metric.name.partition(".")
            key = (variant, measure.removesuffix(f".{DELTA}"))
            # `base` has no differences, so its name that ends in `.delta` is of a principle with that id.
            is_delta = measure.endswith(f".{DELTA}") and variant != BASE and key in values
            (deltas if is_delta else values)[key if is_delta else (variant, measure)] = metric
        measures = tuple(dict.fromkeys(measure for _, measure in values))
        return cls(
            tuple(sorted({variant for variant, _ in values}, key=variant_rank)),
            tuple(sorted(measures, key=_place)),
            values,
            deltas,
        )

    def outcome(self, variant: str, measure: str) -> ChangeOutcome | None:
        """Return how a variant differs from `base`; None if the measure has no difference or no interval.

        The difference is beyond noise if its paired interval excludes zero (for the win rate: if the interval
        excludes one half) and there are at least `MIN_PROMPTS` prompts.
        """
        metric, even = self.deltas.get((variant, measure)), 0.0
        if measure == WIN_RATE:
            metric, even = self.values.get((variant, measure)), _EVEN
        if metric is None or metric.low is None or metric.high is None:
            return None
        # An interval of zero width at `even` means that no prompt changed.
        if metric.low == metric.high == even:
            return "same"
        if metric.n < MIN_PROMPTS or metric.low <= even <= metric.high:
            return "noise"
        direction = _BETTER.get(measure.partition(".")[0], 0)
        if not direction:
            return "other"
        return "better" if (metric.value > even) == (direction > 0) else "worse"


def is_steered(measure: str) -> bool:
    """Return True if a measure shows how well the constitution is followed, rather than a side effect."""
    return measure == WIN_RATE or measure.partition(".")[0] == COMPLIANCE


def _place(measure: str) -> int:
    """Return the sort key of a measure: all checks, each check, win rate, then side effects."""
    if measure == WIN_RATE:
        return 2
    return int(measure != COMPLIANCE) if is_steered(measure) else 3


def title_of(measure: str, unit: str) -> str:
    """Return the title of a table row, with its unit; the check of a principle has the principle's id."""
    title = _TITLES.get(measure) or measure.removeprefix(f"{COMPLIANCE}.")
    return title if unit in ("", measure) else f"{title}, {_UNITS.get(unit, unit)}"


def number(metric: Metric) -> str:
    """Return a metric's value alone; shares are percentages."""
    return _numbers(metric)[0]


def in_brackets(metric: Metric, *, signed: bool = False) -> str:
    """Return a metric as `61.4 [52.0, 70.9]`; shares are percentages."""
    value, low, high = _numbers(metric, signed=signed)
    return f"{value} [{low}, {high}]" if low else value


def in_parentheses(metric: Metric) -> str:
    """Return a metric as `61.4 (52.0-70.9)`, at most 17 characters as a rule; shares are percentages."""
    value, low, high = (text.removesuffix(".0") if text == "100.0" else text for text in _numbers(metric))
    dash = " to " if low.startswith("-") else "-"
    return f"{value} ({low}{dash}{high})" if low else value


def _numbers(metric: Metric, *, signed: bool = False) -> tuple[str, str, str]:
    """Return value, low and high (empty if missing), with digits chosen by the largest of them."""
    scale = 100 if metric.unit == "share" else 1
    numbers = [None if n is None else n * scale for n in (metric.value, metric.low, metric.high)]
    digits = _digits(max(abs(n) for n in numbers if n is not None), metric.unit)
    sign = "+" if signed else ""
    # Adding 0.0 turns a negative zero from rounding into zero.
    value, low, high = ("" if n is None else f"{round(n, digits) + 0.0:{sign}.{digits}f}" for n in numbers)
    return value, low, high


def _digits(largest: float, unit: str) -> int:
    if unit == "nats":
        return 3 if largest < 10 else 1
    return 1 if unit == "share" or largest < 100 else 0
