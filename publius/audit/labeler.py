"""`publius audit labeler`: measure a labeler, compare the ways of asking it, and write a certificate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from constitution.loader import load_constitution
from constitution.schema import Constitution
from core.errors import ConfigError, EngineError, shell_command
from core.lazy import require
from core.notices import note, warn
from core.store.files import os_errors, write_atomic
from evaluation.judges.certificate import AUDITS, CERTIFICATE, AuditedLabeler, Certificate, GoldSource
from evaluation.judges.gold import TUNING_SHARE, GoldPair, sampled, tuning_slice
from evaluation.judges.injections import Injection, injection_problems
from evaluation.judges.judged import JudgedPair, outcomes
from evaluation.judges.measures import gold_metrics, reliability_of
from evaluation.judges.report import audit_report
from evaluation.judges.verdict import known_problems, problems_of, recommended_of
from labelers.ai import AILabeler
from labelers.config import PrincipleCount
from labelers.correction.correction import LabelerCorrection
from labelers.correction.fitting import CorrectionOptions
from publius.audit.candidates import LabelerCandidate, labeler_candidates, refusal_of
from publius.audit.fitting import correction_or_reason
from publius.audit.gold import read_gold
from publius.audit.injecting import injection_shifts
from publius.audit.judging import LabelingEngine, judge_gold, not_asked
from publius.audit.known import SIDE_BY_SIDE, known_metrics
from publius.audit.own_injections import read_own_injections
from publius.audit.settings import AuditRequest, audit_settings
from publius.config.run_file import RunConfig
from publius.runs.engines import EngineMaker, conversations, make_engine, open_engines
from publius.runs.inputs import CORRECTION
from publius.runs.manifest import package_versions
from publius.stages.judges.audits import corrected_labeler
from publius.stages.judges.trained import judged_constitution

AUDIT_REPORT = "audit.md"
FEWEST_PROMPTS = 10
"""Prompts that each slice needs for a labeler to be recommended."""
_SPARE = 1.5
"""Factor above the expected size of the tuning slice, which a hash decides."""


@dataclass(frozen=True)
class AuditResult:
    """The certificate of an audit and the folder that holds it."""

    folder: Path
    certificate: Certificate
    failed: bool
    """True if the accuracy is below the one that was required."""

    def as_json(self) -> dict[str, Any]:
        """Return the certificate as JSON-able values, with its folder."""
        return {"folder": str(self.folder), **self.certificate.as_json()}


@dataclass(frozen=True)
class _Audit:
    """What all parts of an audit share."""

    constitution: Constitution
    """The constitution without the principles that a trained judge abstains on."""
    digest: str
    """Digest of the whole constitution."""
    config: RunConfig
    asked: LabelingEngine
    gold: tuple[GoldSource, ...]
    min_accuracy: float | None

    @property
    def seed(self) -> int:
        return self.config.seed

    def refusal(self, candidate: LabelerCandidate) -> str | None:
        return refusal_of(self.asked.engine, candidate, self.config.models.of("labeler"))

    def labeler(self, candidate: LabelerCandidate) -> AILabeler:
        engine, templates = self.asked.engine, candidate.templates
        return AILabeler(self.constitution, engine, candidate.config, self.seed, templates)

    def measure(
        self, candidate: LabelerCandidate, pairs: Sequence[GoldPair], *, correct: bool = False
    ) -> AuditedLabeler:
        """Return a labeler's metrics on gold pairs, or why it cannot be asked.

        Args:
            candidate: the labeler.
            pairs: the gold pairs.
            correct: fit its correction too.
        """
        refused = self.refusal(candidate)
        if refused is not None:
            return AuditedLabeler(labeler=candidate.identity, refused=refused, problems=(refused,))
        labeler = self.labeler(candidate)
        judged, cost = judge_gold(labeler, pairs, self.asked)
        metrics = gold_metrics(judged, self.seed, slots=candidate.config.mode != SIDE_BY_SIDE)
        found, reason = self._correction(candidate, judged) if correct else (None, None)
        return AuditedLabeler(
            labeler=candidate.identity,
            metrics=metrics,
            reliability=reliability_of(judged),
            outcomes=outcomes(judged),
            cost=cost,
            problems=problems_of(metrics, len(pairs), self.min_accuracy),
            not_asked=not_asked(labeler, judged),
            correction=found,
            no_correction=reason,
        )

    def _correction(
        self, candidate: LabelerCandidate, judged: Sequence[JudgedPair]
    ) -> tuple[LabelerCorrection | None, str | None]:
        options = CorrectionOptions(
            labeler=corrected_labeler(candidate.identity),
            constitution=self.digest,
            sources={source.name: source.digest for source in self.gold},
            seed=self.seed,
        )
        return correction_or_reason(judged, options)


def run_audit(request: AuditRequest, make: EngineMaker = make_engine) -> AuditResult:
    """Audit a labeler, write `audit.json` and `audit.md`, and return the certificate.

    Answers of the model are in the project's request cache: an audit that was interrupted continues.

    Raises:
        ConfigError: if the run file or the constitution is invalid, or nothing is asked of a labeler.
        DataError: if the gold labels cannot be read.
        EngineError: if the model cannot be asked.
        MissingExtraError: if scipy is not installed.
    """
    require("scipy", "train")
    settings = audit_settings(request)
    config = settings.config
    constitution = load_constitution(config.constitution)
    judged_by = asked_constitution(constitution, config)
    _require_gold(request)
    given = request.gold
    every, sources = read_gold(given, request.aggregation or config.label.aggregation) if given else ((), ())
    pairs = sampled(every, request.rows, config.seed)
    own_texts = read_own_injections(request.injections_from) if request.injections_from else ()
    with open_engines(config, settings.project, make, pairs_only=True) as engines:
        settings_of = engines.settings("labeler")
        asked = LabelingEngine(
            engines.of("labeler"), conversations(settings_of), is_server=settings_of.kind == "http"
        )
        audit = _Audit(judged_by, constitution.digest, config, asked, sources, request.min_accuracy)
        found = labeler_candidates(request, config, asked.engine)
        parts = _by_gold(audit, found, pairs) if pairs else _without_gold(audit, found[0])
        if request.injections or own_texts:
            parts = _with_injections(audit, found[0], parts, own_texts)
        note(engines.counts().summary())
    certificate = Certificate(
        publius=package_versions()["publius"],
        created=datetime.now(UTC).date().isoformat(),
        seed=config.seed,
        constitution=constitution.name,
        constitution_digest=constitution.digest,
        gold=sources,
        rows=len(pairs),
        min_accuracy=request.min_accuracy,
        **parts,
    )
    folder = request.to or settings.project / AUDITS / _folder_name(certificate)
    _write(folder, certificate)
    if folder.resolve().parent != (settings.project / AUDITS).resolve():
        note(f"runs look for certificates in {settings.project / AUDITS}")
    return AuditResult(folder, certificate, _is_below(certificate))


def _require_gold(request: AuditRequest) -> None:
    """Raise ConfigError if an option is given that means nothing without gold labels."""
    given = {
        "--min-accuracy": request.min_accuracy is not None,
        "--rows": request.rows is not None,
        "--mode": bool(request.modes),
        "--templates": bool(request.templates),
    }
    useless = [option for option, is_given in given.items() if is_given and not request.gold]
    if useless:
        what = f"{', '.join(useless)} needs gold labels"
        raise ConfigError(what, where=useless[0], accepted="with --gold FILE")


def asked_constitution(constitution: Constitution, config: RunConfig) -> Constitution:
    """Return the constitution that a run would ask its labeler about.

    Raises:
        ConfigError: if it would ask nothing.
    """
    _require_questions(constitution, config.label.principles)
    judged = judged_constitution(constitution, Path(config.models.of("labeler").id))
    if all(principle.check is not None for principle in judged.steering):
        raise ConfigError(
            "nothing to audit: the judge abstains on every principle",
            where=constitution.name,
            accepted="a constitution with a principle of another kind",
        )
    return judged


def _require_questions(constitution: Constitution, principles: PrincipleCount) -> None:
    """Raise ConfigError if a run would ask no labeler."""
    if not principles:
        raise ConfigError(
            "nothing to audit: no question is asked of a labeler",
            where="label.principles",
            accepted="1 or more, or --set label.principles=4",
        )
    if all(principle.check is not None for principle in constitution.steering):
        raise ConfigError(
            "nothing to audit: every principle has a machine check, so no labeler is asked",
            where=constitution.name,
            accepted="a constitution with a principle without `check`",
        )


def _by_gold(audit: _Audit, found: Sequence[LabelerCandidate], pairs: Sequence[GoldPair]) -> dict[str, Any]:
    """Return the parts of the certificate that gold labels give."""
    tuning, rest = tuning_slice(pairs, audit.seed) if len(found) > 1 else ((), tuple(pairs))
    if len(found) > 1 and min(_prompts(tuning), _prompts(rest)) < FEWEST_PROMPTS:
        return _side_by_side(audit, found, pairs)
    compared = [audit.measure(candidate, tuning) for candidate in found] if tuning else []
    best = recommended_of(compared)
    chosen = [found[0]]
    if best is not None and best.labeler.digest != found[0].identity.digest:
        chosen.append(next(c for c in found if c.identity.digest == best.labeler.digest))
    audited = [audit.measure(candidate, rest, correct=True) for candidate in chosen]
    _require_one(audited)
    return {
        "audited": tuple(audited),
        "compared": tuple(compared),
        "tuning": len(tuning),
        "recommended": None if best is None else best.labeler.digest,
    }


def _side_by_side(
    audit: _Audit, found: Sequence[LabelerCandidate], pairs: Sequence[GoldPair]
) -> dict[str, Any]:
    """Return the parts of the certificate where gold is too small to be divided: all labelers on all of it.

    None is recommended: the best of several on some comparisons is less good on others.
    """
    enough = math.ceil(_SPARE * FEWEST_PROMPTS / TUNING_SHARE)
    warn(
        f"too few gold prompts to choose between labelers on a part of them ({_prompts(pairs)}, and about "
        f"{enough} are enough): each is measured on all of them, and none is recommended, as the best "
        "of several on the same comparisons looks better than it is; add gold, or --no-compare for the "
        "configured one alone"
    )
    configured = audit.measure(found[0], pairs, correct=True)
    others = [audit.measure(candidate, pairs) for candidate in found[1:]]
    _require_one([configured, *others])
    return {"audited": (configured,), "compared": (configured, *others)}


def _prompts(pairs: Sequence[GoldPair]) -> int:
    return len({pair.comparison.prompt.id for pair in pairs})


def _require_one(audited: Sequence[AuditedLabeler]) -> None:
    """Raise EngineError if the model can be asked in no way."""
    if all(one.refused is not None for one in audited):
        raise EngineError(
            f"the model cannot label: {audited[0].refused}",
            where=audited[0].labeler.model,
            accepted="a model that can be asked for one letter or word, or another label.mode",
        )


def _without_gold(audit: _Audit, candidate: LabelerCandidate) -> dict[str, Any]:
    """Return the parts of the certificate that need no gold labels."""
    refused = audit.refusal(candidate)
    one = AuditedLabeler(labeler=candidate.identity, refused=refused)
    _require_one([one])
    known = known_metrics(audit.constitution, audit.labeler(candidate), audit.asked)
    audited = one.model_copy(update={"problems": known_problems(known.metrics, known.unreliable)})
    return {"audited": (audited,), "without_gold": known.metrics, "unreliable": known.unreliable}


def _with_injections(
    audit: _Audit, candidate: LabelerCandidate, parts: dict[str, Any], own_texts: Sequence[Injection]
) -> dict[str, Any]:
    """Return the parts of the certificate with the shifts of the first labeler by injections."""
    first, *others = parts["audited"]
    if first.refused is not None:
        return parts
    metrics = injection_shifts(audit.labeler(candidate), audit.asked, own_texts)
    problems = (*first.problems, *injection_problems({metric.name: metric for metric in metrics}))
    changed = first.model_copy(update={"problems": problems})
    return {**parts, "audited": (changed, *others), "injections": metrics}


def _is_below(certificate: Certificate) -> bool:
    """Return True if the labeler's accuracy is below the required one."""
    if certificate.min_accuracy is None:
        return False
    accuracy = certificate.audited[0].metric("accuracy")
    return accuracy is None or accuracy.value < certificate.min_accuracy


def _folder_name(certificate: Certificate) -> str:
    """Return the name of an audit's folder; a later audit of the same labeler replaces its files."""
    labeler = certificate.audited[0].labeler
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in labeler.model).strip("-.")[-48:]
    kind = "gold" if certificate.gold else "planted"
    return f"{name or 'labeler'}-{labeler.mode}-{kind}-{labeler.digest[:8]}"


def _write(folder: Path, certificate: Certificate) -> None:
    with os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / AUDIT_REPORT, audit_report(certificate))
        write_atomic(folder / CERTIFICATE, certificate.model_dump_json(exclude_none=True, indent=2) + "\n")
        _write_correction(folder / CORRECTION, certificate.audited[0])
    note(f"certificate {shell_command(folder / CERTIFICATE)}")


def _write_correction(path: Path, audited: AuditedLabeler) -> None:
    """Write the correction of the labeler that was asked for, or remove that of an earlier audit."""
    if audited.correction is None:
        path.unlink(missing_ok=True)
        return
    write_atomic(path, audited.correction.model_dump_json(exclude_none=True, indent=2) + "\n")
    corrected = audited.metric("accuracy.corrected")
    rules = [one for one in audited.metrics if one.name.startswith("baseline.")]
    best = max(rules, key=lambda one: one.value, default=None)
    if corrected is not None and best is not None and best.value > corrected.value:
        note(
            f"a correction was fitted too, {shell_command(path)}, but is not advised: corrected labels are "
            f"right in {corrected.value:.1%}, and the baseline {best.name.removeprefix('baseline.')} in "
            f"{best.value:.1%}"
        )
        return
    note(f"to correct its labels: label: {{correction: {shell_command(path)}}}")
