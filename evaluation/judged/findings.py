"""What an evaluation says about compliance by a judge: who rated, what was corrected, what was not rated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evaluation.judged.correction import CorrectedCompliance


@dataclass(frozen=True)
class JudgedFindings:
    """Compliance by a judge beyond its metrics."""

    judge: str
    """Model of the judge."""
    is_labeler: bool = False
    """True if the judge also labeled the training data."""
    corrected: tuple[CorrectedCompliance, ...] = ()
    """Rates corrected by people, one for each variant and principle with a label."""
    unrated: tuple[str, ...] = ()
    """Principles without a rating: the judge abstains on them, or they apply to no held-out prompt."""
    not_rated: Mapping[str, int] = field(default_factory=dict)
    """Number of answers without a rating, by reason."""
    audit: Mapping[str, Any] = field(default_factory=dict)
    """What an audit says about the judge as it was asked (`FoundAudit.summary`); empty if there is none."""

    def as_json(self) -> dict[str, Any]:
        """Return the entry of `metrics.json`."""
        return {
            "judge": self.judge,
            "judge_is_labeler": self.is_labeler,
            "unrated": list(self.unrated),
            "corrected": [one.as_json() for one in self.corrected],
            "audit": dict(self.audit),
        }

    def lines(self) -> list[str]:
        """Return the corrected rates as lines of text."""
        return [one.line() for one in self.corrected]
