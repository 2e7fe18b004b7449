"""Presentation of metrics: lookup by variant and measure, formatting, and comparison with noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from core.records import Metric
from core.statistics.significance import LEVEL_OF_TESTS, holm
from evaluation.config import BASE
from evaluation.drift.names import BOILERPLATE, DISTINCT, LENGTH_RATIO
from evaluation.judged.names import CORRECTED, JUDGED
from evaluation.measures import COMPLIANCE, SAMENESS, SELF_SIMILARITY
from evaluation.metrics import DELTA, MIN_PROMPTS, variant_rank
from evaluation.quality import BASE_LOSS, NEUTRAL_LOSS, REFERENCE_LOSS
from evaluation.refusals.names import ANY_OVER_REFUSAL, OVER_REFUSAL, UNDER_REFUSAL
from evaluation.win_rate import EVEN_WIN_RATE, LENGTH_CONTROLLED, WIN_RATE

ChangeOutcome = Literal["better", "worse", "other", "noise", "same"]
"""Change from `base`: better or worse beyond noise; beyond noise for a measure without a preferred direction
(`other`); not beyond noise (`noise`); or no difference on any prompt (`same`)."""
BEYOND_NOISE: frozenset[ChangeOutcome | None] = frozenset({"better", "worse", "other"})

_TITLES = {
    COMPLIANCE: "checks passed",
    JUDGED: "all principles, by the judge",
    WIN_RATE: "win rate",
    LENGTH_CONTROLLED: "win rate at equal length",
    "words": "words",
    "finished": "finished",
    "empty": "empty",
    "repeated": "repeats itself",
    "duplicate": "same as another",
    SAMENESS: "nearly the same",
    NEUTRAL_LOSS: "neutral loss",
    REFERENCE_LOSS: "reference loss",
    BASE_LOSS: "base's loss",
    "kl": "KL",
    BOILERPLATE: "boilerplate",
    SELF_SIMILARITY: "self-similarity",
    DISTINCT: "distinct word pairs",
    LENGTH_RATIO: "words, relative to base",
    OVER_REFUSAL: "over-refusal",
    ANY_OVER_REFUSAL: "over-refusal, partial too",
    UNDER_REFUSAL: "under-refusal",
}
_STEERED = (COMPLIANCE, JUDGED, WIN_RATE)
"""First parts of the names of measures that show how well the constitution is followed, in order."""
_UNITS = {"share": "%", "nats": "nats/token", "ratio": "times"}
_BETTER = {
    COMPLIANCE: 1,
    JUDGED: 1,
    WIN_RATE: 1,
    "finished": 1,
    "empty": -1,
    "repeated": -1,
    "duplicate": -1,
    SAMENESS: -1,
    NEUTRAL_LOSS: -1,
    REFERENCE_LOSS: -1,
    BOILERPLATE: -1,
    SELF_SIMILARITY: -1,
    DISTINCT: 1,
    OVER_REFUSAL: -1,
    UNDER_REFUSAL: -1,
}
"""Preferred direction by measure; the other measures have none."""

_NOISE = 1e-9
"""Size up to which a number is a rounding error of zero."""


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
        """Arrange metrics by the variant and measure in their names.

        The interval of a tested difference that holds together with all others is made to agree with the
        test (`_agreeing`).
        """
        values: dict[tuple[str, str], Metric] = {}
        deltas: dict[tuple[str, str], Metric] = {}
        for metric in metrics:
            variant, _, measure = metric.name.partition(".")
            key = (variant, measure.removesuffix(f".{DELTA}"))
            # `base` has no differences, so its name that ends in `.delta` is of a principle with that id.
            is_delta = measure.endswith(f".{DELTA}") and variant != BASE and key in values
            (deltas if is_delta else values)[key if is_delta else (variant, measure)] = metric
        measures = tuple(dict.fromkeys(measure for _, measure in values))
        found = cls(
            tuple(sorted({variant for variant, _ in values}, key=variant_rank)),
            tuple(sorted(measures, key=_place)),
            values,
            deltas,
        )
        tested = {key: delta for key in values if (delta := found._difference(*key)) is not None}
        agreed = {key: _agreeing(one, found.outcome(*key), _even(key[1])) for key, one in tested.items()}
        return replace(
            found,
            values={key: agreed.get(key, one) if key[1] == WIN_RATE else one for key, one in values.items()},
            deltas={key: one if key[1] == WIN_RATE else agreed.get(key, one) for key, one in deltas.items()},
        )

    def outcome(self, variant: str, measure: str) -> ChangeOutcome | None:
        """Return how a variant differs from `base`; None if the measure has no difference.

        A difference is beyond noise if its p-value, adjusted for all differences of the evaluation (Holm), is
        at most 5 %. If nothing changed at all, the probability that any of them is beyond noise is then at
        most 5 %. Metrics without p-values, which older versions wrote, are judged one by one: their interval
        excludes zero (for the win rate: one half), and there are at least `MIN_PROMPTS` prompts.
        """
        metric, even = self._difference(variant, measure), _even(measure)
        if metric is None:
            return None
        if _is_unchanged(metric, even):
            return "same"
        adjusted = self._adjusted.get((variant, measure))
        low, high = metric.low, metric.high
        excluded = low is not None and high is not None and not low <= even <= high
        if not (excluded and metric.n >= MIN_PROMPTS if adjusted is None else adjusted <= LEVEL_OF_TESTS):
            return "noise"
        direction = _BETTER.get(measure.partition(".")[0], 0)
        if not direction:
            return "other"
        return "better" if (metric.value > even) == (direction > 0) else "worse"

    def adjusted_p_value(self, variant: str, measure: str) -> float | None:
        """Return the p-value of a difference, adjusted for all differences (Holm); None if it is no test.

        It is 1 for a difference that is zero on every prompt, which is not counted among the tests.
        """
        metric = self._difference(variant, measure)
        if metric is not None and metric.p_value is not None and _is_unchanged(metric, _even(measure)):
            return 1.0
        return self._adjusted.get((variant, measure))

    @cached_property
    def _adjusted(self) -> dict[tuple[str, str], float]:
        """Adjusted p-values by variant and measure; differences that are zero on every prompt have none."""
        family: dict[tuple[str, str], float] = {}
        for variant, measure in self.values:
            metric = self._difference(variant, measure)
            # Without a changed prompt a difference cannot be beyond noise, so it does not count as a test.
            if metric and metric.p_value is not None and not _is_unchanged(metric, _even(measure)):
                family[variant, measure] = metric.p_value
        return dict(zip(family, holm(list(family.values())), strict=True))

    def _difference(self, variant: str, measure: str) -> Metric | None:
        """Return the metric that shows a difference from `base`: the win rate itself, else the delta."""
        return (self.values if measure == WIN_RATE else self.deltas).get((variant, measure))


def _agreeing(metric: Metric, outcome: ChangeOutcome | None, even: float) -> Metric:
    """Return a difference whose interval for all differences together agrees with the test.

    Holm's test decides more than Bonferroni's intervals show, and flips signs where these take a t
    distribution. So the interval of a difference beyond noise ends at no difference (Strassburger and Bretz
    2008, Statistics in Medicine 27; Guilbaud 2008, Biometrical Journal 50), and every other reaches it.

    Args:
        metric: the difference.
        outcome: what the test says of it.
        even: the value that means no difference.
    """
    low, high = metric.simultaneous_low, metric.simultaneous_high
    if low is None or high is None or outcome is None:
        return metric
    if outcome not in BEYOND_NOISE:
        low, high = min(low, even), max(high, even)
    elif metric.value > even:
        low = max(low, even)
    else:
        high = min(high, even)
    return metric.model_copy(update={"simultaneous_low": low, "simultaneous_high": high})


def _even(measure: str) -> float:
    return EVEN_WIN_RATE if measure == WIN_RATE else 0.0


def _is_unchanged(metric: Metric, even: float) -> bool:
    """Return True if no prompt changed; in metrics of older versions the interval then has zero width."""
    return metric.changed == 0 if metric.changed is not None else metric.low == metric.high == even


def is_steered(measure: str) -> bool:
    """Return True if a measure shows how well the constitution is followed, rather than a side effect."""
    return measure.partition(".")[0] in _STEERED


def _place(measure: str) -> tuple[int, bool]:
    """Return the sort key: all checks, each, all judged principles, each, win rate, then side effects."""
    first = measure.partition(".")[0]
    if first not in _STEERED:
        return len(_STEERED), False
    # The win rate at equal length has no place of its own beside the win rate.
    return _STEERED.index(first), first != WIN_RATE and measure != first


def title_of(measure: str, unit: str) -> str:
    """Return the title of a table row, with its unit; the measure of a principle has the principle's id."""
    title = _TITLES.get(measure) or _title_of_principle(measure)
    return title if unit in ("", measure) else f"{title}, {_UNITS.get(unit, unit)}"


def _title_of_principle(measure: str) -> str:
    kind, _, rest = measure.partition(".")
    if kind != JUDGED:
        return measure.removeprefix(f"{COMPLIANCE}.")
    principle_id, _, corrected = rest.partition(".")
    return f"{principle_id}, {'corrected' if corrected == CORRECTED else 'by the judge'}"


def variants_in_words(variants: Iterable[str]) -> str:
    """Return what an evaluation compares: before and after training, if any variant of it is trained."""
    found = set(variants)
    if found - {BASE, "prompted"}:
        return "Before and after training"
    return "Without and with the rules as system prompt" if "prompted" in found else "Without training"


def number(metric: Metric) -> str:
    """Return a metric's value alone; shares are percentages."""
    return _numbers(metric)[0]


def in_brackets(metric: Metric, *, signed: bool = False, together: bool = False) -> str:
    """Return a metric as `61.4 [52.0, 70.9]`; shares are percentages.

    Args:
        metric: the metric.
        signed: True for a sign before numbers above zero.
        together: True for the interval that covers together with those of all differences, if there is one.
    """
    if together and metric.simultaneous_low is not None:
        low_high = {"low": metric.simultaneous_low, "high": metric.simultaneous_high}
        metric = metric.model_copy(update=low_high)
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
    largest = max(abs(n) for n in numbers if n is not None)
    digits = _digits(largest, metric.unit)
    if largest > _NOISE and not round(largest, digits):
        digits = 1 - math.floor(math.log10(largest))
    sign = "+" if signed else ""
    # Adding 0.0 turns a negative zero from rounding into zero.
    value, low, high = ("" if n is None else f"{round(n, digits) + 0.0:{sign}.{digits}f}" for n in numbers)
    return value, low, high


def _digits(largest: float, unit: str) -> int:
    if unit == "nats":
        return 3 if largest < 10 else 1
    return 1 if unit == "share" or largest < 100 else 0
