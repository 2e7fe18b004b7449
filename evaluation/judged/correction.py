"""Rates by a judge and their paired differences from base, corrected by labels of people.

A prompt is one item: all of its answers are those of different variants. The labelled prompts of a principle
must be a random sample of those that the judge rated, as the sheet (`evaluation/judged/gold.py`) draws them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from core.notices import counted
from core.records import Metric
from core.statistics.bootstrap import LEVEL, Floats, Interval
from core.statistics.judges.differences import CorrectedDifference, corrected_difference
from core.statistics.judges.rates import FEWEST_GOLD, CorrectedRate, corrected_rate
from core.statistics.significance import difference_p_values
from evaluation.config import BASE
from evaluation.judged.names import corrected_measure
from evaluation.judged.ratings import AnswerRating
from evaluation.metrics import DELTA, variant_rank

_Values = Mapping[str, float]
"""Values by prompt id."""


@dataclass(frozen=True)
class RatedValues:
    """What is known of one variant under one principle, for the prompts that were rated for every variant."""

    judged: _Values
    """The judge's probability that the answer fulfils the principle."""
    gold: _Values
    """Share of people who say that it does; for the labelled answers alone."""


@dataclass(frozen=True)
class CorrectedCompliance:
    """The compliance of one variant with one principle, corrected by people."""

    variant: str
    principle_id: str
    rate: CorrectedRate
    changes: RatedValues | None = None
    """Paired differences from base; None for base, and without a prompt that is labelled for both."""
    seed: int = 0
    """Seed of the test."""

    @property
    def name(self) -> str:
        """Name of the metric."""
        return f"{self.variant}.{corrected_measure(self.principle_id)}"

    @property
    def is_shown(self) -> bool:
        """True if there are enough labels for a metric."""
        return self.rate.labels >= FEWEST_GOLD

    def rows(self) -> Iterator[CorrectedRow]:
        """Yield the rows of `evaluation.metrics.metrics_of`: the rate, and its difference from base."""
        if not self.is_shown:
            return
        yield CorrectedRow(self)
        if self.changes is not None and len(self.changes.gold) >= FEWEST_GOLD:
            yield CorrectedRow(self, self.changes)

    def difference(self, level: float = LEVEL) -> CorrectedDifference | None:
        """Return the corrected difference from base; None if there is none."""
        return None if self.changes is None else corrected_difference(*_arrays(self.changes), level=level)

    def as_json(self) -> dict[str, Any]:
        """Return rate and difference as JSON-able values, with those that they combine."""
        rate, difference = self.rate, self.difference()
        found: dict[str, Any] = {
            "name": self.name,
            "labels": rate.labels,
            "answers": rate.items,
            "judge": rate.judged,
            "people": _share(rate.gold),
            "corrected": _share(rate.rate) if self.is_shown else None,
            "refused": rate.refused,
        }
        if difference is not None:
            found["people_delta"] = _share(difference.gold)
            found["refused_delta"] = difference.refused
        return found

    def line(self) -> str:
        """Return the rate as a line of text."""
        rate = self.rate
        people = f"people alone {_percent(rate.gold)}, {rate.labels:,} of {counted(rate.items, 'answer')}"
        judged, name = f"{100 * rate.judged:.1f} %", f"{self.variant}, {self.principle_id}"
        if rate.refused:
            return f"{name}: {people}; the judge's {judged} cannot be corrected: {rate.refused}"
        return f"{name}: {_percent(rate.rate)}; the judge alone {judged}, {people}"


@dataclass(frozen=True)
class CorrectedRow:
    """A corrected rate or, with `changes`, its difference from base, as a metric."""

    compliance: CorrectedCompliance
    changes: RatedValues | None = None

    @property
    def changed(self) -> int | None:
        """Number of labelled prompts on which people see a difference, or all on which the judge does."""
        if self.changes is None:
            return None
        judged = 0 if self._found.refused else sum(v != 0 for v in self.changes.judged.values())
        return max(judged, sum(v != 0 for v in self.changes.gold.values()))

    @cached_property
    def p_value(self) -> float | None:
        """Two-sided p-value of a difference; by sign flips of the labels alone if the judge is refused."""
        if self.changes is None:
            return None
        if self._found.p_value is not None:
            return self._found.p_value
        gold, _, _ = _arrays(self.changes)
        return difference_p_values([gold.tolist()], self.compliance.seed)[0]

    def metric(self, tests: int) -> Metric:
        """Return the metric; `tests` is the number of differences that are tested together."""
        if self.changes is None:
            rate = self.compliance.rate
            n = rate.labels if rate.refused else rate.items
            value, low, high = rate.rate
            return Metric(name=self.compliance.name, value=value, low=low, high=high, n=n, unit="share")
        found, together = self._found, self._difference(1 - (1 - LEVEL) / max(1, tests)).difference
        value, low, high = found.difference
        return Metric(
            name=f"{self.compliance.name}.{DELTA}",
            value=value,
            low=low,
            high=high,
            n=found.labels if found.refused else found.items,
            unit="share",
            p_value=self.p_value,
            changed=self.changed,
            simultaneous_low=together.low,
            simultaneous_high=together.high,
        )

    @cached_property
    def _found(self) -> CorrectedDifference:
        return self._difference(LEVEL)

    def _difference(self, level: float) -> CorrectedDifference:
        assert self.changes is not None
        return corrected_difference(*_arrays(self.changes), level=level)


def corrected_compliance(
    ratings: Iterable[AnswerRating], gold: Mapping[str, float], seed: int = 0
) -> tuple[CorrectedCompliance, ...]:
    """Return the corrected compliance of each variant and principle of which people labelled an answer.

    Args:
        ratings: the judge's ratings.
        gold: by question, the share of people who say that the answer fulfils the principle.
        seed: seed of the tests.
    """
    found = []
    for principle_id, values in _complete_values(ratings, gold).items():
        base = values.get(BASE)
        for variant in sorted(values, key=variant_rank):
            own = values[variant]
            if own.gold:
                changes = None if base is None or variant == BASE else _changes(own, base)
                rate = corrected_rate(*_arrays(own))
                found.append(CorrectedCompliance(variant, principle_id, rate, changes, seed))
    return tuple(found)


def _complete_values(
    ratings: Iterable[AnswerRating], gold: Mapping[str, float]
) -> dict[str, dict[str, RatedValues]]:
    """Return the values by principle and variant of the prompts that were rated for every variant."""
    table: dict[str, dict[str, dict[str, AnswerRating]]] = {}
    variants: set[str] = set()
    for rating in ratings:
        variants.add(rating.variant)
        if rating.p is not None:
            of_principle = table.setdefault(rating.principle_id, {})
            of_principle.setdefault(rating.variant, {})[rating.prompt_id] = rating
    found: dict[str, dict[str, RatedValues]] = {}
    for principle_id, rated in table.items():
        shared = set.intersection(*(set(rated.get(variant, ())) for variant in variants))
        found[principle_id] = {
            variant: _rated_values([rated[variant][name] for name in sorted(shared)], gold)
            for variant in rated
        }
    return found


def _rated_values(ratings: Iterable[AnswerRating], gold: Mapping[str, float]) -> RatedValues:
    rated = list(ratings)
    return RatedValues(
        {one.prompt_id: one.p for one in rated if one.p is not None},
        {one.prompt_id: gold[one.question] for one in rated if one.question in gold},
    )


def _changes(own: RatedValues, base: RatedValues) -> RatedValues | None:
    """Return the paired differences from base; None if no prompt is labelled for both."""
    labelled = own.gold.keys() & base.gold.keys()
    if not labelled:
        return None
    return RatedValues(
        {name: p - base.judged[name] for name, p in own.judged.items()},
        {name: own.gold[name] - base.gold[name] for name in sorted(labelled)},
    )


def _arrays(values: RatedValues) -> tuple[Floats, Floats, Floats]:
    """Return gold, the judge's values of the same prompts, and those of the others; each by prompt id."""
    labelled = sorted(values.gold)
    rest = sorted(values.judged.keys() - values.gold.keys())
    return (
        np.array([values.gold[name] for name in labelled], dtype=np.float64),
        np.array([values.judged[name] for name in labelled], dtype=np.float64),
        np.array([values.judged[name] for name in rest], dtype=np.float64),
    )


def _share(interval: Interval) -> dict[str, Any]:
    return {**interval._asdict(), "unit": "share"}


def _percent(interval: Interval) -> str:
    value, low, high = (100 * part for part in interval)
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"
