"""Corrections of a labeler, fitted on judgments that have a gold label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.errors import DataError
from evaluation.judges.judged import JudgedPair
from labelers.correction.correction import LabelerCorrection
from labelers.correction.fitting import CorrectionOptions, GoldJudgment, fit_correction


def fitted_correction(judged: Sequence[JudgedPair], options: CorrectionOptions) -> LabelerCorrection:
    """Return the correction that the judgments of gold pairs give. Raises as `fit_correction` does."""
    return fit_correction(list(_gold_judgments(judged)), options)


def correction_or_reason(
    judged: Sequence[JudgedPair], options: CorrectionOptions
) -> tuple[LabelerCorrection | None, str | None]:
    """Return the correction, or why there is none."""
    try:
        return fitted_correction(judged, options), None
    except DataError as error:
        return None, error.problems[0].what


def _gold_judgments(judged: Sequence[JudgedPair]) -> Iterator[GoldJudgment]:
    """Yield the judgments with the gold label of their comparison."""
    for pair in judged:
        for judgment in pair.judgments:
            yield GoldJudgment(pair.gold.comparison, judgment, float(pair.gold.better == "a"))
