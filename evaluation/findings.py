"""Findings of an evaluation beyond its metrics: what they are about, in `metrics.json` and in the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import ConfigError
from evaluation.drift.measured import DriftFindings
from evaluation.gates.decide import GateResult
from evaluation.gold_wins import CorrectedWinRate
from evaluation.judged.findings import JudgedFindings
from evaluation.length_control import LengthControlled
from evaluation.ranking import RankedVariant
from evaluation.refusals.measures import RefusalFindings


@dataclass(frozen=True)
class Findings:
    """Findings that an evaluation may have; each is empty if it was not measured."""

    corrected: tuple[CorrectedWinRate, ...] = ()
    """Win rates corrected by people's judgments, one for each variant."""
    controlled: Mapping[str, LengthControlled] = field(default_factory=dict)
    """Win rates at equal length, by variant."""
    refusals: RefusalFindings | None = None
    """Responses to the refusal prompts, if the run measures refusals."""

    drift: DriftFindings = field(default_factory=DriftFindings)
    """Phrases that spread, and what optimising a proxy did to gold."""
    ranking: tuple[RankedVariant, ...] = ()
    """The variants by the judge's comparisons, the strongest first."""
    gates: tuple[GateResult, ...] = ()
    """Outcomes of the run's gates."""
    mistakes: ConfigError | None = None
    """Gates on unknown metrics."""
    judged: JudgedFindings | None = None
    """Compliance with principles that the judge rates, if there is one."""

    def as_json(self) -> dict[str, Any]:
        """Return the entries of `metrics.json`; those that were not measured are absent."""
        found: dict[str, Any] = {}
        if self.corrected:
            found["win_rates_corrected"] = [one.as_json() for one in self.corrected]
        if self.controlled:
            found["length_controlled"] = {name: one.as_json() for name, one in self.controlled.items()}
        if self.refusals is not None:
            found["refusals"] = self.refusals.as_json()
        if self.ranking:
            found["ranking"] = [one.as_json() for one in self.ranking]
        if self.judged is not None:
            found["judged"] = self.judged.as_json()
        found["drift"] = self.drift.as_json()
        found["gates"] = [result.as_json() for result in self.gates]
        if self.mistakes is not None:
            found["gates_not_checked"] = [str(problem) for problem in self.mistakes.problems]
        return found
