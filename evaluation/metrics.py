"""From values per prompt to metrics with intervals; every measure goes the same way.

A metric is named `<variant>.<measure>`, and its paired difference to `base` `<variant>.<measure>.delta`. All
variants are measured on the same prompts: those that every one of them answered and, for a measure, those
that have a value for every variant that has the measure at all. What this leaves out is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from constitution.schema import Constitution
from core.errors import DataError
from core.records import Answer, Metric
from core.statistics.bootstrap import paired_intervals
from evaluation.config import BASE, Variant
from evaluation.measures import Series, answer_series

DELTA = "delta"
_ORDER: tuple[str, ...] = get_args(Variant)


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and on which prompts."""

    metrics: tuple[Metric, ...]
    variants: tuple[str, ...]
    prompts: tuple[str, ...]
    """Ids of the prompts that every variant answered, in order: all figures are about these."""
    missing: Mapping[str, int]
    """For each variant that did not answer all prompts, how many it did not answer."""
    without_value: Mapping[str, int]
    """For each measure that lacks values, prompts that a variant has no value for, though another has."""


def evaluate_answers(
    answers: Iterable[Answer], constitution: Constitution, further: Iterable[Series] = (), seed: int = 0
) -> Evaluation:
    """Return all metrics of the variants' answers.

    Args:
        answers: one of each variant to each prompt, in any order; some may be missing.
        constitution: its machine checks are run on the answers.
        further: measures made elsewhere, such as KL and win rates. Values of other prompts are passed over.
        seed: of the bootstrap.

    Raises:
        DataError: `base` has no answers, a variant has two to one prompt, or no prompt has them all.
    """
    table = _by_variant(answers)
    asked = set().union(*table.values())
    shared = sorted(asked.intersection(*table.values()))
    if not shared:
        raise DataError(
            f"no prompt was answered by all of {', '.join(table)}", accepted="answers to the same prompts"
        )
    series = [
        one
        for variant, given in table.items()
        for one in answer_series(variant, [given[prompt_id] for prompt_id in shared], constitution)
    ]
    metrics, without_value = metrics_of([*series, *further], shared, seed)
    missing = {name: len(asked) - len(given) for name, given in table.items() if len(given) < len(asked)}
    return Evaluation(metrics, tuple(table), tuple(shared), missing, without_value)


def metrics_of(
    series: Sequence[Series], prompts: Iterable[str], seed: int
) -> tuple[tuple[Metric, ...], dict[str, int]]:
    """Return the metrics of all series, and for each measure how many prompts lack a value of some variant.

    A difference is given where `base` has the measure too. A measure without a prompt that has all its values
    has no metric.

    Args:
        series: the measures of the variants; one measure stands at one place in the result.
        prompts: ids of the prompts that count.
        seed: of the bootstrap.

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
    """Return the sort key by which variants stand beside each other: `base` first, unknown ones last."""
    return (_ORDER.index(variant) if variant in _ORDER else len(_ORDER), variant)


def _measured(found: Sequence[Series], prompts: Sequence[str], seed: int) -> list[Metric]:
    """Return the metrics of one measure, all intervals from the same resamples of the prompts."""
    rows = {one.variant: [one.values[prompt_id] for prompt_id in prompts] for one in found}
    names = {f"{one.variant}.{one.measure}": rows[one.variant] for one in found}
    if BASE in rows:
        for one in found:
            if one.variant != BASE:
                paired = zip(rows[one.variant], rows[BASE], strict=True)
                names[f"{one.variant}.{one.measure}.{DELTA}"] = [value - base for value, base in paired]
    intervals = paired_intervals(list(names.values()), seed)
    return [
        Metric(name=name, value=value, low=low, high=high, n=len(prompts), unit=found[0].unit)
        for name, (value, low, high) in zip(names, intervals, strict=True)
    ]


def _by_variant(answers: Iterable[Answer]) -> dict[str, dict[str, Answer]]:
    """Return the answers by variant and prompt id, the variants in their order."""
    table: dict[str, dict[str, Answer]] = {BASE: {}}
    for answer in answers:
        given = table.setdefault(answer.variant, {})
        if answer.prompt.id in given:
            what = f"the variant {answer.variant} has two answers to prompt {answer.prompt.id}"
            raise DataError(what, accepted="one answer of each variant to each prompt")
        given[answer.prompt.id] = answer
    if not table[BASE]:
        found = ", ".join(sorted(table.keys() - {BASE})) or "no answers"
        raise DataError(f"found {found}", accepted=f"answers of {BASE}, which the others are compared with")
    return dict(sorted(table.items(), key=lambda entry: variant_rank(entry[0])))
