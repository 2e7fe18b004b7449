"""Trained models against the prompted one: the same tests with another variant in the place of `base`.

A constitution in the prompt is what training has to beat, so the difference from it is tested for itself and
not read off two differences from `base`, whose intervals overlap more often than the paired one holds 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evaluation.config import BASE
from evaluation.measures import Series
from evaluation.metrics import metrics_of
from evaluation.presentation import EvaluationMetrics
from evaluation.win_rate import WIN_RATE


def metrics_against(series: Sequence[Series], reference: str, seed: int = 0) -> EvaluationMetrics | None:
    """Return the metrics of the trained variants with their paired differences from another than `base`.

    The tests of these differences are corrected for their own number. Win rates are over `base` and left out.

    Args:
        series: the measures of all variants by prompt or by text.
        reference: the variant that takes the place of `base`, and has its name in the result.
        seed: seed of the significance tests.

    Returns:
        None if the reference or any other variant is not measured.

    Raises:
        DataError: a value is not finite.
    """
    own = [one for one in series if one.variant != BASE and one.measure.partition(".")[0] != WIN_RATE]
    measures = {one.measure for one in own if one.variant == reference}
    compared = [
        replace(one, variant=BASE) if one.variant == reference else one
        for one in own
        if one.measure in measures
    ]
    if not measures or all(one.variant == BASE for one in compared):
        return None
    counted = {name for one in compared for name in one.values}
    return EvaluationMetrics.of(metrics_of(compared, counted, seed)[0])
