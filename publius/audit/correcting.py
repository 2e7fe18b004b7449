"""`publius audit correction`: fit a correction of a labeler on gold labels and write its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitution.loader import load_constitution
from core.errors import EngineError, shell_command
from core.notices import note
from core.store.files import write_atomic
from evaluation.judges.gold import sampled
from evaluation.judges.judged import outcomes
from labelers.ai import AILabeler
from labelers.correction.correction import LabelerCorrection
from labelers.correction.fitting import CorrectionOptions
from publius.audit.candidates import labeler_candidates, refusal_of
from publius.audit.fitting import fitted_correction
from publius.audit.gold import read_gold
from publius.audit.judging import LabelingEngine, judge_gold
from publius.audit.labeler import asked_constitution
from publius.audit.settings import AuditRequest, audit_settings
from publius.runs.engines import EngineMaker, conversations, make_engine, open_engines
from publius.stages.judges.audits import corrected_labeler


@dataclass(frozen=True)
class CorrectionRequest:
    """A labeler to correct, and for what error."""

    audit: AuditRequest
    """The labeler, its gold labels and how many of them to judge."""
    to: Path
    """File of the correction."""
    max_error: float | None = None
    """Limit of the error among labels that are used; None to use all labels."""
    confidence: float = 0.95


@dataclass(frozen=True)
class CorrectionResult:
    """A correction and its file."""

    path: Path
    correction: LabelerCorrection
    outcomes: dict[str, int]
    """Number of judgments by verdict, and of comparisons without a label by reason."""

    def as_json(self) -> dict[str, Any]:
        """Return the correction as JSON-able values, with its path."""
        found = self.correction.model_dump(mode="json", exclude_none=True)
        return {"path": str(self.path), **found, "outcomes": self.outcomes}


def run_correction(request: CorrectionRequest, make: EngineMaker = make_engine) -> CorrectionResult:
    """Fit a correction of the configured labeler, write it, and return it.

    The labels of an earlier audit of the same labeler come from the request cache of the project.

    Raises:
        ConfigError: the run file or the constitution is invalid, or nothing is asked of a labeler.
        DataError: the gold labels cannot be read or are too few, or the labels say nothing about them.
        EngineError: the model cannot be asked.
    """
    settings = audit_settings(request.audit)
    config = settings.config
    constitution = load_constitution(config.constitution)
    judged_by = asked_constitution(constitution, config)
    every, sources = read_gold(request.audit.gold, request.audit.aggregation or config.label.aggregation)
    pairs = sampled(every, request.audit.rows, config.seed)
    with open_engines(config, settings.project, make, pairs_only=True) as engines:
        asked = LabelingEngine(engines.of("labeler"), conversations(engines.settings("labeler")))
        candidate = labeler_candidates(request.audit, config, asked.engine)[0]
        refused = refusal_of(asked.engine, candidate, config.models.of("labeler"))
        if refused is not None:
            raise EngineError(f"the model cannot label: {refused}", where=candidate.identity.model)
        labeler = AILabeler(judged_by, asked.engine, candidate.config, config.seed, candidate.templates)
        judged, _ = judge_gold(labeler, pairs, asked)
        note(engines.counts().summary())
    correction = fitted_correction(
        judged,
        CorrectionOptions(
            labeler=corrected_labeler(candidate.identity),
            constitution=constitution.digest,
            sources={source.name: source.digest for source in sources},
            max_error=request.max_error,
            confidence=request.confidence,
            seed=config.seed,
        ),
    )
    write_atomic(request.to, correction.model_dump_json(exclude_none=True, indent=2) + "\n")
    note(f"to use it: label: {{correction: {shell_command(request.to)}}}")
    return CorrectionResult(request.to, correction, outcomes(judged))
