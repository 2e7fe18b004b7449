"""A correction of the AI labeler: its file, and what it makes of judgments.

The correction changes what a judgment is worth, not the judgment: the labeler's own probability stays in
`judgments.jsonl`, and the corrected one is aggregated into preferences. A judgment whose corrected log-odds
are too near 0 is not used at all: the labeler abstains, and `publius select` asks annotators about these
comparisons first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError

from constitution.schema import Constitution
from core.errors import ConfigError, DataError
from core.records import Comparison, Finite, Judgment, Probability, Record
from core.statistics.judges.calibration import LogitCorrection
from core.store.jsonl import read_errors
from labelers.ai import AI_LABELER
from labelers.config import LabelConfig
from labelers.modes.reading import logistic, verdict_of

ABSTAINED = "the AI labeler abstains: its label is too doubtful (label.correction)"
"""Reason for which a comparison has no preference."""
_ACCEPTED = "a file that `publius audit correction` wrote"
_LEAST = 1e-12
"""Probabilities are clipped to this distance from 0 and 1, which is 27.6 nats."""


class CorrectedLabeler(Record):
    """The labeler that a correction is for."""

    digest: str
    """Digest of everything that determines its answers; that of the labeler in an audit's certificate."""
    model: str
    mode: str
    templates: str
    """Digest of the templates of its questions."""


class CorrectionQuality(Record):
    """Metrics of labels on the gold labels, before or after the correction."""

    accuracy: Probability
    nll: Finite
    """Mean cross-entropy to gold, in nats; ln 2 = 0.693 for labels of one half."""
    brier: Finite
    ece: Finite
    ece_noise: Finite
    """Upper end of the band of calibration errors that perfect calibration gives by chance, at 95 %."""


class CorrectionThreshold(Record):
    """The least absolute log-odds of a label that is used."""

    log_odds: float = Field(ge=0.0)
    """Corrected log-odds in nats."""
    max_error: Probability
    """Limit of the error among labels that are used."""
    confidence: Probability
    """Probability over gold labels that the limit holds."""
    abstained: Probability
    """Share of gold judgments below the threshold."""
    error: Probability
    """Error of the gold judgments that are used."""


class LabelerCorrection(Record):
    """A correction of one labeler: the coefficients, what they were fitted on, and what they gain."""

    correction_version: Literal[1] = 1
    labeler: CorrectedLabeler
    constitution: str
    """Digest of the constitution whose principles were asked about; others have no scales of their own."""
    sources: dict[str, str]
    """Digest of each source of gold labels, by name."""
    judgments: int
    """Number of the labeler's judgments with a gold label."""
    comparisons: int
    prompts: int
    scale: float = Field(ge=0.0, allow_inf_nan=False)
    """Inverse temperature: the factor of the labeler's log-odds."""
    length: Finite
    """Nats added per unit of the log of the first answer's length over the second's, in characters."""
    scales: dict[str, float] = Field(default={})
    """Inverse temperature by principle id, for principles with enough gold labels."""
    before: CorrectionQuality
    after: CorrectionQuality
    """Cross-validated by prompt: no judgment is measured by coefficients that were fitted on its prompt."""
    threshold: CorrectionThreshold | None = None
    """Where the labeler abstains; None if it never does."""

    def log_odds(self, judgment: Judgment, comparison: Comparison) -> float | None:
        """Return the corrected log-odds that `a` is better, in nats; None if the judgment has none."""
        if judgment.p_a is None:
            return None
        terms = LogitCorrection(self.scale, self.length, scales=self.scales)
        corrected = terms.apply(
            np.array([log_odds_of_label(judgment.p_a)]),
            np.array([length_ratio(comparison)]),
            principles=[judgment.principle_id or ""],
        )
        return float(corrected[0])

    def abstains(self, log_odds: float) -> bool:
        """Return True if a label with these corrected log-odds is not used."""
        return self.threshold is not None and abs(log_odds) < self.threshold.log_odds


class Corrector:
    """Applies a correction to judgments and counts what it did."""

    def __init__(self, correction: LabelerCorrection | None) -> None:
        self.correction = correction
        self.counts: Counter[str] = Counter()
        """Number of the AI labeler's judgments: `corrected`, `turned` to the other answer, `abstained`."""

    def corrected(self, comparison: Comparison, judgments: Iterable[Judgment]) -> list[Judgment]:
        """Return the judgments of a comparison; those of the AI labeler are corrected.

        A judgment that the labeler abstains on has the verdict `skip` and no probability.
        """
        return [self._corrected(comparison, judgment) for judgment in judgments]

    def abstained_on(self, comparison: Comparison, judgments: Iterable[Judgment]) -> bool:
        """Return True if the labeler has judged a comparison and abstains on all of its judgments."""
        if self.correction is None:
            return False
        own = [j for j in judgments if j.labeler == AI_LABELER]
        found = [z for z in (self.correction.log_odds(j, comparison) for j in own) if z is not None]
        return bool(found) and all(map(self.correction.abstains, found))

    def _corrected(self, comparison: Comparison, judgment: Judgment) -> Judgment:
        if self.correction is None or judgment.labeler != AI_LABELER:
            return judgment
        log_odds = self.correction.log_odds(judgment, comparison)
        if log_odds is None:
            return judgment
        if self.correction.abstains(log_odds):
            self.counts["abstained"] += 1
            return judgment.model_copy(update={"verdict": "skip", "p_a": None})
        p_a = logistic(log_odds)
        self.counts["corrected"] += 1
        self.counts["turned"] += (p_a - 0.5) * ((judgment.p_a or 0.0) - 0.5) < 0
        return judgment.model_copy(update={"verdict": verdict_of(p_a), "p_a": p_a})


def corrector_of(config: LabelConfig, constitution: Constitution) -> Corrector:
    """Return the corrector that the file in `label.correction` describes; without one, it changes nothing.

    A principle's own temperature is of the constitution that it was fitted with: under another one, all
    principles have the labeler's.

    Raises:
        DataError: the file is missing or not a correction.
    """
    if config.correction is None:
        return Corrector(None)
    correction = read_correction(config.correction)
    if correction.scales and correction.constitution != constitution.digest:
        correction = correction.model_copy(update={"scales": {}})
    return Corrector(correction)


def read_correction(path: Path) -> LabelerCorrection:
    """Return the correction in a file.

    Raises:
        DataError: the file is missing, not a correction, or of a version that is not known.
    """
    with read_errors(path, _ACCEPTED):
        text = path.read_text(encoding="utf-8")
    try:
        return LabelerCorrection.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{place}: {first['msg']}", where=str(path), accepted=_ACCEPTED) from None


def require_same_labeler(correction: LabelerCorrection, labeler: CorrectedLabeler, where: str) -> None:
    """Raise an error if a correction was fitted on another labeler.

    Raises:
        ConfigError: the model, its settings, the mode or the templates differ.
    """
    fitted = correction.labeler
    if fitted.digest == labeler.digest:
        return
    named = [
        f"{name} {theirs} (it is {ours})"
        for name, theirs, ours in (
            ("model", fitted.model, labeler.model),
            ("label.mode", fitted.mode, labeler.mode),
            ("templates", fitted.templates[:12], labeler.templates[:12]),
        )
        if theirs != ours
    ]
    differs = ", ".join(named) or "other settings of the labeler"
    raise ConfigError(
        f"the correction was fitted on another labeler: {differs}",
        where=where,
        accepted="a correction of this labeler",
        run="publius audit correction RUN.yaml --gold FILE --to FILE",
    )


def log_odds_of_label(p: float) -> float:
    """Return the log-odds of a probability, at most 27.6 nats in size."""
    clipped = min(max(p, _LEAST), 1 - _LEAST)
    return math.log(clipped) - math.log1p(-clipped)


def length_ratio(comparison: Comparison) -> float:
    """Return the log of the length of `a` over that of `b`, in characters."""
    return math.log(max(1, len(comparison.response_a)) / max(1, len(comparison.response_b)))
