"""Audits of a run's labeler: its identity, and the warning where it is unaudited or failed its audit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.notices import warn
from engines.cached import CachedEngine
from engines.config import ModelConfig, ModelsConfig
from engines.embedded import EMBEDDED_NAME
from engines.protocols import compares_replies, takes_questions
from evaluation.judges.certificate import FoundAudit, LabelerIdentity, find_audit
from evaluation.judges.families import shared_families
from labelers.config import LabelConfig
from labelers.correction.correction import CorrectedLabeler, read_correction, require_same_labeler
from prompts.environment import PromptTemplates
from publius.runs.engines import EMBEDDED_JUDGES_BY_CHANCE, EngineRole, Engines
from publius.runs.folder import Run
from publius.runs.parts.audited import judges_by_model, labeler_of


def labeler_identity(
    engine: CachedEngine, label: LabelConfig, templates: PromptTemplates, templates_from: str = "built-in"
) -> LabelerIdentity:
    """Return the identity of a labeler: its model, the settings of its questions and their templates."""
    return labeler_of(
        engine.identity,
        engine.model,
        label,
        templates,
        typed=takes_questions(engine),
        compares=compares_replies(engine),
        templates_from=templates_from,
    )


def corrected_labeler(identity: LabelerIdentity) -> CorrectedLabeler:
    """Return a labeler as corrections name it."""
    return CorrectedLabeler(
        digest=identity.digest, model=identity.model, mode=identity.mode, templates=identity.templates
    )


def attach_audit(run: Run, engines: Engines, project: Path, *, labels_now: bool) -> None:
    """Record in the manifest what an audit in the project says about the labeler, and warn where it is bad.

    Args:
        run: the run.
        engines: its engines.
        project: folder of the run file, whose folder `audits` is searched.
        labels_now: False if no stage of the command asks the labeler; nothing is done then.

    Raises:
        ConfigError: if `label.correction` was fitted on another labeler.
    """
    if not (labels_now and judges_by_model(run.config.label, run.constitution)):
        return
    labeler = labeler_identity(engines.of("labeler"), run.config.label, run.templates)
    if run.config.label.correction is not None:
        correction = read_correction(run.config.label.correction)
        require_same_labeler(correction, corrected_labeler(labeler), str(run.config.label.correction))
    found = find_audit(project, labeler.digest, run.constitution.digest)
    run.note_audit(None if found is None else found.summary())
    if engines.settings("labeler").kind != "scripted":
        for caveat in _caveats(found, labeler):
            warn(caveat)


def judge_caveats(
    engines: Engines, label: LabelConfig, templates: PromptTemplates, project: Path
) -> tuple[str, ...]:
    """Return what must be said beside judgments of a command's single model; nothing of the scripted engine.

    Args:
        engines: engines whose policy is the model.
        label: the settings of its questions.
        templates: their templates.
        project: folder whose folder `audits` is searched.
    """
    engine = engines.of("policy")
    if engines.settings("policy").kind == "scripted":
        return ()
    if engine.model == EMBEDDED_NAME:
        return (f"{EMBEDDED_JUDGES_BY_CHANCE}; set --model to a larger model for meaningful results",)
    labeler = labeler_identity(engine, label, templates)
    return tuple(_caveats(find_audit(project, labeler.digest), labeler))


def _caveats(found: FoundAudit | None, labeler: LabelerIdentity) -> Iterator[str]:
    """Yield what an audit says against a labeler, or that there is none."""
    name = f"{labeler.model} ({labeler.mode})"
    if found is None:
        command = "publius audit labeler RUN.yaml --gold FILE"
        yield f"unaudited: how often {name} is right was not measured; run: {command}"
        return
    for problem in found.audit.problems:
        yield f"the audit of {name} in {found.folder}: {problem}"


def warn_about_families(models: ModelsConfig, *, labels: bool = True) -> None:
    """Warn if judge, labeler and teacher are of one family: a model favours answers like its own.

    The teacher is the critic, which writes the revisions. A labeler that is the policy or the critic itself
    has a warning of its own.

    Args:
        models: the models of the run.
        labels: False if no labeler is asked; nothing is said about it then.
    """
    pairs: list[tuple[EngineRole, EngineRole]] = []
    if models.judge is not None:
        if labels:
            pairs.append(("judge", "labeler"))
        if models.of("critic").id != models.of("labeler").id:
            pairs.append(("judge", "critic"))
    if labels and isinstance(models.labeler, ModelConfig) and isinstance(models.critic, ModelConfig):
        pairs += [("labeler", "critic")] * (models.labeler.id != models.critic.id)
    for one, other in pairs:
        shared = shared_families(models.of(one).id, models.of(other).id)
        if shared:
            warn(
                f"{one} and {other} are of one family ({', '.join(shared)}), which favours its own; "
                f"set models.{one} to a model of another family"
            )
