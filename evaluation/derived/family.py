"""Chosen measures as a family of their own, such as primary outcomes, corrected for their own number."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from core.records import Metric
from evaluation.measures import Series
from evaluation.metrics import DELTA, metrics_of


def metrics_in_family(
    series: Sequence[Series], recorded: Sequence[Metric], measures: Collection[str], seed: int = 0
) -> tuple[Metric, ...]:
    """Return the metrics of the chosen measures, whose differences alone are tested together.

    Args:
        series: the measures of an evaluation by prompt or by text.
        recorded: its metrics as recorded, for measures whose values by prompt are not. Their intervals stay
            those that hold together for all differences of the evaluation, which are wider.
        measures: names of the measures.
        seed: seed of the significance tests.

    Raises:
        DataError: a value is not finite.
    """
    own = [one for one in series if one.measure in measures]
    known = {f"{one.variant}.{one.measure}{end}" for one in own for end in ("", f".{DELTA}")}
    counted = {name for one in own for name in one.values}
    return metrics_of(own, counted, seed, [_Recorded(one) for one in of_measures(recorded, measures, known)])[
        0
    ]


def of_measures(
    metrics: Sequence[Metric], measures: Collection[str], known: Collection[str] = ()
) -> list[Metric]:
    """Return the metrics of measures and their differences, without those whose names are known."""
    return [
        metric
        for metric in metrics
        if metric.name not in known
        and (measure := metric.name.partition(".")[2])
        and (measure in measures or measure.removesuffix(f".{DELTA}") in measures)
    ]


@dataclass(frozen=True)
class _Recorded:
    """A recorded metric among those that are computed again."""

    found: Metric

    @property
    def changed(self) -> int | None:
        """Number of prompts with a difference, as recorded."""
        if self.found.changed is None and self.found.low == self.found.high == 0.0:
            return 0
        return self.found.changed

    @property
    def p_value(self) -> float | None:
        """Its p-value, as recorded."""
        return self.found.p_value

    def metric(self, tests: int) -> Metric:
        """Return the metric with its recorded interval."""
        return self.found
