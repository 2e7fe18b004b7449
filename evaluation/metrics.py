"""Metrics with intervals from values per prompt, computed in the same way for every measure.

A metric is named `<variant>.<measure>`, and its paired difference from `base` is named
`<variant>.<measure>.delta`. All variants are measured on the same prompts: the prompts that every variant
answered and, for each measure, those with a value for every variant that has the measure at all. Excluded
prompts are counted.

Differences, and win rates as differences from one half, have a p-value too. Whether one is beyond noise is
decided over all of them together (`evaluation/presentation.py`), and each has a second interval, which covers
together with those of all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, get_args

import numpy as np

from constitution.schema import Constitution
from core.errors import DataError
from core.records import Answer, Metric
from core.statistics.bootstrap import LEVEL, Floats, value_matrix
from core.statistics.intervals import ValueKind, interval_by_kind
from core.statistics.significance import FEW, difference_p_values
from evaluation.config import BASE, Variant
from evaluation.measures import SELF_SIMILARITY, Series, answer_series
from evaluation.win_rate import EVEN_WIN_RATE, WIN_RATE

DELTA = "delta"
MIN_PROMPTS = 6
"""Minimum number of prompts for a difference beyond noise. If nothing changed, all of n prompts move the same
way with a probability of 2^(1 - n) (two-sided sign test), which is below 5 % only for n >= 6."""
FEW_PROMPTS = FEW
"""Number of prompts below which only large differences can be told from chance."""
_ORDER: tuple[str, ...] = get_args(Variant)
_SCORES = frozenset({SELF_SIMILARITY})
"""Measures in [0, 1] that are no share of outcomes: a prompt's value is a mean over all other answers, and
does not change by 1 as the result of a check may. Half a prompt that does would be most of an interval."""


class TestedRow(Protocol):
    """A metric that was computed elsewhere, and is tested together with the others of its evaluation."""

    @property
    def changed(self) -> int | None:
        """Number of prompts with a difference; None for a value."""
        ...

    @property
    def p_value(self) -> float | None:
        """Two-sided p-value of a difference, for itself; None if it is not tested."""
        ...

    def metric(self, tests: int) -> Metric:
        """Return the metric; `tests` is the number of differences that are tested together."""
        ...


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
    series: tuple[Series, ...] = ()
    """The values behind the metrics, by prompt or by text."""


def evaluate_answers(
    answers: Iterable[Answer],
    constitution: Constitution,
    further: Iterable[Series] = (),
    seed: int = 0,
    texts: Sequence[Series] = (),
    rows: Sequence[TestedRow] = (),
) -> Evaluation:
    """Compute all metrics of the variants' answers.

    Args:
        answers: one answer of each variant to each prompt, in any order; some may be missing.
        constitution: the constitution whose machine checks are run on the answers.
        further: series computed elsewhere, such as KL and win rates. Values of other prompts are ignored.
        seed: seed of the significance tests.
        texts: series over texts of their own instead of prompts, such as losses on neutral passages.
        rows: metrics computed elsewhere, each value before its difference.

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
    # Together, since the differences of a report are corrected for their number; no text is a prompt.
    counted = {*shared, *(text for one in texts for text in one.values)}
    series += [*further, *texts]
    metrics, without_value = metrics_of(series, counted, seed, rows)
    missing = {name: len(asked) - len(given) for name, given in table.items() if len(given) < len(asked)}
    used = tuple(
        replace(one, values={name: value for name, value in one.values.items() if name in counted})
        for one in series
    )
    return Evaluation(metrics, tuple(table), tuple(shared), missing, without_value, used)


def with_metrics(evaluation: Evaluation, metrics: Iterable[Metric]) -> Evaluation:
    """Return the evaluation with further metrics, which are computed from all prompts together."""
    return replace(evaluation, metrics=(*evaluation.metrics, *metrics))


def metrics_of(
    series: Sequence[Series], prompts: Iterable[str], seed: int, further: Sequence[TestedRow] = ()
) -> tuple[tuple[Metric, ...], dict[str, int]]:
    """Return the metrics of all series, and the number of incomplete prompts by measure.

    An incomplete prompt has a value for some variants of the measure but not for all.

    A difference is computed if `base` has the measure too. A measure has no metric if no prompt has a value
    for all of its variants.

    Args:
        series: the measures of the variants; the metrics of one measure are adjacent in the result.
        prompts: ids of the prompts to include.
        seed: seed of the significance tests.
        further: metrics computed elsewhere, whose differences are tested together with the others.

    Raises:
        DataError: a value is not finite.
    """
    counted = set(prompts)
    measures: dict[str, list[Series]] = {}
    for one in series:
        measures.setdefault(one.measure, []).append(one)
    rows: list[TestedRow] = []
    without_value: dict[str, int] = {}
    for measure, found in measures.items():
        known = [counted & one.values.keys() for one in found]
        complete = sorted(set.intersection(*known))
        lacking = len(set.union(*known)) - len(complete)
        if lacking:
            without_value[measure] = lacking
        if complete:
            rows += _rows(sorted(found, key=lambda one: variant_rank(one.variant)), complete, seed)
    rows += further
    # Without a changed prompt a difference cannot be beyond noise, so it does not count as a test.
    tests = sum(row.p_value is not None and row.changed != 0 for row in rows)
    return tuple(row.metric(tests) for row in rows), without_value


def variant_rank(variant: str) -> tuple[int, str]:
    """Return the sort key of a variant: `base` first, unknown variants last."""
    return (_ORDER.index(variant) if variant in _ORDER else len(_ORDER), variant)


@dataclass(frozen=True)
class _Row:
    """Values of one metric, one for each prompt."""

    name: str
    unit: str
    kind: ValueKind
    values: Floats
    changed: int | None = None
    """Number of prompts with a difference, for a difference."""
    p_value: float | None = None

    def metric(self, tests: int) -> Metric:
        """Return the metric; `tests` is the number of differences that are tested together."""
        interval = interval_by_kind(self.kind, self.values)
        together = None
        if tests and self.p_value is not None:
            together = interval_by_kind(self.kind, self.values, 1 - (1 - LEVEL) / tests)
        return Metric(
            name=self.name,
            value=interval.value if interval else float(self.values.mean()),
            low=interval and interval.low,
            high=interval and interval.high,
            n=len(self.values),
            unit=self.unit,
            p_value=self.p_value,
            changed=self.changed,
            simultaneous_low=together and together.low,
            simultaneous_high=together and together.high,
        )


def _rows(found: Sequence[Series], prompts: Sequence[str], seed: int) -> list[_Row]:
    """Return the values of one measure: those of each variant, then the differences from `base`."""
    measure, unit = found[0].measure, found[0].unit
    is_share = unit == "share"
    matrix = value_matrix([[one.values[prompt_id] for prompt_id in prompts] for one in found])
    variants = [one.variant for one in found]
    names = [f"{variant}.{measure}" for variant in variants]
    values = dict(zip(names, matrix, strict=True))
    differences: dict[str, Floats] = {}
    if BASE in variants:
        base = matrix[variants.index(BASE)]
        others = (variant for variant in variants if variant != BASE)
        differences = {f"{name}.{measure}.{DELTA}": values[f"{name}.{measure}"] - base for name in others}
    tested = differences
    if measure == WIN_RATE:
        tested = {name: row - EVEN_WIN_RATE for name, row in values.items()}
    p_values: dict[str, float] = {}
    if tested and len(prompts) >= MIN_PROMPTS:
        p_values = dict(
            zip(tested, difference_p_values([row.tolist() for row in tested.values()], seed), strict=True)
        )
    changed = {name: int(np.count_nonzero(row)) for name, row in tested.items()}
    kinds: tuple[ValueKind, ValueKind] = ("share", "difference") if is_share else ("mean", "mean")
    if measure in _SCORES:
        kinds = ("share", "mean")
    return [
        _Row(name, unit, kind, row, changed.get(name), p_values.get(name))
        for kind, group in zip(kinds, (values, differences), strict=True)
        for name, row in group.items()
    ]


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
