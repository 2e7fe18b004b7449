"""Fit a correction of the AI labeler on comparisons with gold labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.errors import DataError
from core.notices import counted
from core.records import Comparison, Judgment
from core.statistics.bootstrap import Floats
from core.statistics.judges.abstention import CONFIDENCE, risk_controlled
from core.statistics.judges.calibration import cross_validated, fit_logits
from core.statistics.judges.gold import GoldLogits
from core.statistics.judges.quality import label_quality
from labelers.correction.correction import (
    CorrectedLabeler,
    CorrectionQuality,
    CorrectionThreshold,
    LabelerCorrection,
    length_ratio,
    log_odds_of_label,
)

FEWEST_PROMPTS_FOR_CORRECTION = 20
"""Number of prompts with gold labels below which no correction is fitted."""


class GoldJudgment(NamedTuple):
    """One of the AI labeler's judgments, with the gold label of its comparison."""

    comparison: Comparison
    judgment: Judgment
    p_a: float
    """Gold probability that `a` is better."""


@dataclass(frozen=True)
class CorrectionOptions:
    """What a correction is fitted for."""

    labeler: CorrectedLabeler
    constitution: str
    """Digest of the constitution whose principles were asked about."""
    sources: Mapping[str, str]
    """Digest of each source of gold labels, by name."""
    max_error: float | None = None
    """Limit of the error among labels that are used; None to use all labels."""
    confidence: float = CONFIDENCE
    """Probability over gold labels that the limit holds."""
    seed: int = 0
    """Seed of the folds of the cross-validation."""


def fit_correction(judged: Sequence[GoldJudgment], options: CorrectionOptions) -> LabelerCorrection:
    """Return the correction of a labeler, with its cross-validated metrics.

    Judgments without a probability are ignored. Judgments of one prompt are in the same fold.

    Raises:
        DataError: the gold labels have too few prompts, the labeler's judgments say nothing about them, or
            no threshold keeps the error below the limit.
    """
    rows = [row for row in judged if row.judgment.p_a is not None]
    prompts = {row.comparison.prompt.id for row in rows}
    if len(prompts) < FEWEST_PROMPTS_FOR_CORRECTION:
        raise DataError(
            f"{counted(len(prompts), 'prompt')} {'has' if len(prompts) == 1 else 'have'} gold labels and "
            "judgments, too few for a correction",
            accepted=f"{FEWEST_PROMPTS_FOR_CORRECTION} or more",
        )
    labels = _gold_logits(rows)
    fitted, out_of_fold = fit_logits(labels), cross_validated(labels, seed=options.seed)
    before, after = _quality(labels, labels.logits), _quality(labels, out_of_fold)
    if not fitted.scale or not after.nll < math.log(2):
        nothing = "" if fitted.scale else "; only the lengths of the answers would be left of its labels"
        raise DataError(
            f"the labeler carries no information beyond noise: on {counted(len(rows), 'judgment')} its "
            f"cross-validated log-loss is {after.nll:.3f} nats, not below ln 2 = 0.693, that of "
            f"one half{nothing}",
            where=f"{options.labeler.model} ({options.labeler.mode})",
            accepted="another labeler or label.mode, or more gold labels",
        )
    return LabelerCorrection(
        labeler=options.labeler,
        constitution=options.constitution,
        sources=dict(options.sources),
        judgments=len(rows),
        comparisons=len({row.comparison.id for row in rows}),
        prompts=len(prompts),
        scale=fitted.scale,
        length=fitted.length,
        scales=dict(fitted.scales),
        before=before,
        after=after,
        threshold=_threshold(labels, out_of_fold, options),
    )


def _gold_logits(rows: Sequence[GoldJudgment]) -> GoldLogits:
    return GoldLogits(
        logits=np.array([log_odds_of_label(row.judgment.p_a or 0.0) for row in rows]),
        gold=np.array([row.p_a for row in rows]),
        lengths=np.array([length_ratio(row.comparison) for row in rows]),
        principles=[row.judgment.principle_id or "" for row in rows],
        clusters=[row.comparison.prompt.id for row in rows],
    )


def _quality(labels: GoldLogits, logits: Floats) -> CorrectionQuality:
    found = label_quality(labels, logits)
    return CorrectionQuality(
        accuracy=0.5 if found.accuracy is None else found.accuracy.value,
        nll=found.nll,
        brier=found.brier,
        ece=found.ece.value,
        ece_noise=found.ece.high,
    )


def _threshold(
    labels: GoldLogits, out_of_fold: Floats, options: CorrectionOptions
) -> CorrectionThreshold | None:
    """Return the threshold for the limit of the error, from log-odds that their own gold had no part in."""
    if options.max_error is None:
        return None
    found = risk_controlled(out_of_fold, labels.gold, options.max_error, options.confidence)
    if found.error is None:
        raise DataError(
            f"no threshold keeps the error of labels at {options.max_error:.0%} or less with "
            f"{options.confidence:.0%} confidence: it is {found.error_of_all.value:.0%} on "
            f"{found.labels:,} gold judgments",
            where="--max-error",
            accepted="a higher limit, or more gold labels",
        )
    return CorrectionThreshold(
        log_odds=found.threshold,
        max_error=options.max_error,
        confidence=options.confidence,
        abstained=found.abstained,
        error=found.error.value,
    )
