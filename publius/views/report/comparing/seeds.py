"""The evaluations of runs that differ only in their seed, read from their folders as one."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from evaluation.derived.against import metrics_against
from evaluation.derived.family import metrics_in_family, of_measures
from evaluation.derived.seeds import SeedMetrics, metrics_over_seeds, pooled_series
from evaluation.measures import Series
from evaluation.presentation import EvaluationMetrics
from publius.stages.variants import PROMPTED
from publius.views.report.reading.answers import held_out_series
from publius.views.report.reading.results import recorded_metrics
from publius.views.report.reading.sources import RunSource


def measured_over_seeds(
    runs: Sequence[RunSource], measures: Collection[str] | None = None
) -> SeedMetrics | None:
    """Return the metrics of runs that differ only in their seed; None if one of them has no evaluation.

    Args:
        runs: the runs.
        measures: names of the measures whose differences alone are tested together; None for all.
    """
    recorded = [recorded_metrics(run) for run in runs]
    if not all(recorded):
        return None
    if measures is not None:
        recorded = [of_measures(own, measures) for own in recorded]
    return metrics_over_seeds([_series(run, measures) for run in runs], recorded, runs[0].seed)


def measured_in_family(run: RunSource, measures: Collection[str]) -> EvaluationMetrics | None:
    """Return the chosen measures of a run, corrected for their own number; None without an evaluation."""
    recorded = recorded_metrics(run)
    if not recorded:
        return None
    return EvaluationMetrics.of(metrics_in_family(held_out_series(run), recorded, measures, run.seed))


def measured_against_prompted(
    runs: Sequence[RunSource], measures: Collection[str] | None = None
) -> EvaluationMetrics | None:
    """Return the trained models with their differences from the prompted one, which has the place of `base`.

    Args:
        runs: one run, or runs that differ only in their seed.
        measures: names of the measures whose differences alone are tested together; None for all.

    Returns:
        None if nothing is trained, or the prompted model was not measured.
    """
    pooled = pooled_series([_series(run, measures) for run in runs])
    return metrics_against(pooled, PROMPTED, runs[0].seed)


def _series(run: RunSource, measures: Collection[str] | None) -> list[Series]:
    return [one for one in held_out_series(run) if measures is None or one.measure in measures]
