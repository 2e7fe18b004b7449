"""The evaluations of runs that differ only in their seed, read from their folders as one."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.derived.against import metrics_against
from evaluation.derived.seeds import SeedMetrics, metrics_over_seeds, pooled_series
from evaluation.presentation import EvaluationMetrics
from publius.stages.variants import PROMPTED
from publius.views.report.reading.answers import held_out_series
from publius.views.report.reading.results import recorded_metrics
from publius.views.report.reading.sources import RunSource


def measured_over_seeds(runs: Sequence[RunSource]) -> SeedMetrics | None:
    """Return the metrics of runs that differ only in their seed; None if one of them has no evaluation."""
    recorded = [recorded_metrics(run) for run in runs]
    if not all(recorded):
        return None
    return metrics_over_seeds([held_out_series(run) for run in runs], recorded, runs[0].seed)


def measured_against_prompted(runs: Sequence[RunSource]) -> EvaluationMetrics | None:
    """Return the trained models with their differences from the prompted one, which has the place of `base`.

    Args:
        runs: one run, or runs that differ only in their seed.

    Returns:
        None if nothing is trained, or the prompted model was not measured.
    """
    return metrics_against(pooled_series([held_out_series(run) for run in runs]), PROMPTED, runs[0].seed)
