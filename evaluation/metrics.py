"""Metrics with bootstrap intervals from values per prompt, computed in the same way for every measure.

A metric is named `<variant>.<measure>`, and its paired difference from `base` is named
`<variant>.<measure>.delta`. All variants are measured on the same prompts: the prompts that every variant
answered and, for each measure, those with a value for every variant that has the measure at all. Excluded
prompts are counted.

Differences, and win rates as differences from one half, have a p-value too. Whether one is beyond noise is
decided over all of them together (`evaluation/presentation.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from constitution.schema import Constitution
from core.errors import DataError
from core.records import Answer, Metric
from core.statistics.bootstrap import Interval, paired_intervals
from core.statistics.significance import FEW, difference_p_values, student_intervals
from evaluation.config import BASE, Variant
from evaluation.measures import Series, answer_series
from evaluation.win_rate import EVEN_WIN_RATE, WIN_RATE

DELTA = "delta"
MIN_PROMPTS = 6
"""Minimum number of prompts for a difference beyond noise. If nothing changed, all of n prompts move the same
way with a probability of 2^(1 - n) (two-sided sign test), which is below 5 % only for n >= 6. From here to
`FEW_PROMPTS`, intervals are Student's; with fewer prompts no interval is reliable."""
FEW_PROMPTS = FEW
"""Number of prompts below which percentile intervals are noticeably too narrow."""
_ORDER: tuple[str, ...] = get_args(Variant)


@dataclass(frozen=True)
class Evaluation:
    """The metrics of an evaluation and the prompts that they are based on."""

    metrics: tuple[Metric, ...]
    variants: tuple[str, ...]
    prompts: tuple[str, ...]
    """Ids of the prompts that every variant answered, in order; all metrics are based on them."""
    missing: Mapping[str, int]
    """Number of unanswered prompts by variant, for variants that did not answer all prompts."""
    without_value: Mapping[str, int]
    """Number of prompts by measure that have a value for some variants but not for all."""


def evaluate_answers(
    answers: Iterable[Answer],
    constitution: Constitution,
    further: Iterable[Series] = (),
    seed: int = 0,
    texts: Sequence[Series] = (),
) -> Evaluation:
    """Compute all metrics of the variants' answers.

    Args:
        answers: one answer of each variant to each prompt, in any order; some may be missing.
        constitution: the constitution whose machine checks are run on the answers.
        further: series computed elsewhere, such as KL and win rates. Values of other prompts are ignored.
        seed: seed of the bootstrap.
        texts: series over texts of their own instead of prompts, such as losses on neutral passages.

    Raises:
        DataError: `base` has no answers, a variant has two answers to one prompt, or no prompt was answered
            by all variants.
    """
    table = _by_variant(answers)
    asked = set().union(*table.values())
    shared = sorted(asked.intersection(*table.values()))
    if not shared:
        raise DataError(
            f"no prompt was answered by all variants ({', '.join(table)})",
            accepted="answers to the same prompts",
        )
    series = [
        one
        for variant, given in table.items()
        for one in answer_series(variant, [given[prompt_id] for prompt_id in shared], constitution)
    ]
    metrics, without_value = metrics_of([*series, *further], shared, seed)
    metrics += metrics_of(texts, {text for one in texts for text in one.values}, seed)[0]
    missing = {name: len(asked) - len(given) for name, given in table.items() if len(given) < len(asked)}
    return Evaluation(metrics, tuple(table), tuple(shared), missing, without_value)


def with_metrics(evaluation: Evaluation, metrics: Iterable[Metric]) -> Evaluation:
    """Return the evaluation with further metrics, which are computed from all prompts together."""
    return replace(evaluation, metrics=(*evaluation.metrics, *metrics))


def metrics_of(
    series: Sequence[Series], prompts: Iterable[str], seed: int
) -> tuple[tuple[Metric, ...], dict[str, int]]:
    """Return the metrics of all series, and the number of incomplete prompts by measure.

    An incomplete prompt has a value for some variants of the measure but not for all.

    A difference is computed if `base` has the measure too. A measure has no metric if no prompt has a value
    for all of its variants.

    Args:
        series: the measures of the variants; the metrics of one measure are adjacent in the result.
        prompts: ids of the prompts to include.
        seed: seed of the bootstrap.

    Raises:
        DataError: a value is not finite.
    """
    counted = set(prompts)
    measures: dict[str, list[Series]] = {}
    for one in series:
        measures.setdefault(one.measure, []).append(one)
    metrics: list[Metric] = []
    without_value: dict[str, int] = {}
    for measure, found in measures.items():
        known = [counted & one.values.keys() for one in found]
        complete = sorted(set.intersection(*known))
        lacking = len(set.union(*known)) - len(complete)
        if lacking:
            without_value[measure] = lacking
        if complete:
            metrics += _measured(sorted(found, key=lambda one: variant_rank(one.variant)), complete, seed)
    return tuple(metrics), without_value


def variant_rank(variant: str) -> tuple[int, str]:
    """Return the sort key of a variant: `base` first, unknown variants last."""
    return (_ORDER.index(variant) if variant in _ORDER else len(_ORDER), variant)


def _measured(found: Sequence[Series], prompts: Sequence[str], seed: int) -> list[Metric]:
    """Return the metrics of one measure, with all intervals from the same resamples of the prompts."""
    measure, unit = found[0].measure, found[0].unit
    rows = {one.variant: [one.values[prompt_id] for prompt_id in prompts] for one in found}
    values = {f"{variant}.{measure}": row for variant, row in rows.items()}
    differences: dict[str, list[float]] = {}
    if BASE in rows:
        for variant in rows:
            if variant != BASE:
                paired = zip(rows[variant], rows[BASE], strict=True)
                differences[f"{variant}.{measure}.{DELTA}"] = [value - base for value, base in paired]
    tested = differences
    if measure == WIN_RATE:
        tested = {name: [value - EVEN_WIN_RATE for value in row] for name, row in values.items()}
    p_values: dict[str, float] = {}
    if tested and len(prompts) >= MIN_PROMPTS:
        p_values = dict(zip(tested, difference_p_values(list(tested.values()), seed), strict=True))
    intervals = [*_intervals(values, unit, 0.0, seed), *_intervals(differences, unit, -1.0, seed)]
    return [
        Metric(
            name=name,
            value=interval.value,
            low=interval.low,
            high=interval.high,
            n=len(prompts),
            unit=unit,
            p_value=p_values.get(name),
        )
        for name, interval in zip([*values, *differences], intervals, strict=True)
    ]


def _intervals(rows: Mapping[str, Sequence[float]], unit: str, least: float, seed: int) -> Sequence[Interval]:
    """Return the interval of each row of one measure; `least` is the lowest possible value of a share."""
    if not rows:
        return ()
    values = list(rows.values())
    if not MIN_PROMPTS <= len(values[0]) < FEW_PROMPTS:
        return paired_intervals(values, seed)
    found = student_intervals(values)
    if unit != "share":
        return found
    # Student's interval does not know where a share or a difference of shares ends.
    return [Interval(value, max(low, least), min(high, 1.0)) for value, low, high in found]


def _by_variant(answers: Iterable[Answer]) -> dict[str, dict[str, Answer]]:
    """Return the answers by variant and prompt id, with the variants in order."""
    table: dict[str, dict[str, Answer]] = {BASE: {}}
    for answer in answers:
        given = table.setdefault(answer.variant, {})
        if answer.prompt.id in given:
            what = f"the variant {answer.variant} has two answers to prompt {answer.prompt.id}"
            raise DataError(what, accepted="one answer of each variant to each prompt")
        given[answer.prompt.id] = answer
    if not table[BASE]:
        others = ", ".join(sorted(table.keys() - {BASE})) or "none"
        raise DataError(
            f"no answers of {BASE} (found answers of: {others})",
            accepted=f"answers of {BASE}, the variant that the others are compared with",
        )
    return dict(sorted(table.items(), key=lambda entry: variant_rank(entry[0])))
