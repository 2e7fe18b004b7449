"""The judge of an audit by tenet: what is known about it, and why not to rely on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from constitution.schema import Constitution
from core.errors import ConfigError, EngineError
from engines.cached import CachedEngine
from engines.judge.settings import JudgeSettings, holds_judge, read_judge_settings
from evaluation.judges.certificate import find_audit
from evaluation.judges.families import shared_families
from evaluation.tenets.record import JudgeUsed
from labelers.ai import require_labeler
from labelers.config import LabelConfig
from publius.audit.tenets.subjects import AuditSubjects
from publius.stages.judges.audits import labeler_identity
from publius.stages.judges.trained import require_templates_of_judge, weak_kind, without_good_probe


def judge_used(audited: AuditSubjects, engine: CachedEngine, config: LabelConfig) -> JudgeUsed:
    """Return the judge with its certificate or figures, and with warnings.

    Raises:
        ConfigError: if the judge cannot be asked whether a reply fulfils a tenet.
        EngineError: likewise.
    """
    folder = Path(audited.models.of("judge").id)
    require_templates_of_judge(folder, audited.templates)
    try:
        require_labeler(engine, audited.templates, config)
    except EngineError as error:
        raise EngineError(f"the judge cannot be asked: {error}", where=engine.model) from error
    identity = labeler_identity(engine, config, audited.templates)
    found = find_audit(audited.project, identity.digest, audited.constitution.digest)
    trained = read_judge_settings(folder) if holds_judge(folder) else None
    warnings = [*_family_warnings(audited, trained)]
    if found is not None:
        warnings += [
            f"the audit of the judge in {found.folder}: {problem}" for problem in found.audit.problems
        ]
    elif trained is None:
        warnings.append(
            f"judge not audited: how often {engine.model} is right was not measured; run publius audit "
            "labeler with --set label.mode=pointwise, or label the replies of sheet.csv"
        )
    return JudgeUsed(
        model=engine.model,
        digest=identity.digest,
        certificate=None if found is None else found.summary(),
        trained=None if trained is None else _figures_of(trained),
        warnings=tuple(warnings),
    )


def _figures_of(trained: JudgeSettings) -> dict[str, Any]:
    """Return the balanced accuracy of a trained judge, on held-out replies if known.

    It is by kind of gold label, and by the id of a principle that has a probe of its own.
    """
    figures = {**trained.kinds, **trained.held_out}
    figures |= {probe.id: probe.held_out or probe.figures for probe in trained.principles}
    return {
        kind: {"labels": one.labels, "accuracy": one.accuracy, "low": one.low, "high": one.high}
        for kind, one in sorted(figures.items())
    }


def _family_warnings(audited: AuditSubjects, trained: JudgeSettings | None) -> Iterator[str]:
    """Yield a warning if the judge is of one family with an audited model or with a labeler."""
    judge = audited.models.of("judge").id
    own = trained.model.id if trained else judge
    others: dict[str, str] = {one.model.id: "the audited model" for one in audited.subjects}
    others |= {name: "the labeler that it learned from" for name in audited.labelers if name not in others}
    for name, what in others.items():
        shared = shared_families(own, name)
        if shared:
            yield (
                f"the judge and {what} are of one family ({', '.join(shared)}): a model favours its own; set "
                "--judge to a model of another family"
            )


def unjudged_tenets(constitution: Constitution, judge: Path | None) -> Mapping[str, str]:
    """Return why a trained judge does not rate tenets, by tenet."""
    if judge is None or not holds_judge(judge):
        return {}
    settings = read_judge_settings(judge)
    asked = (principle for principle in constitution.principles if principle.check is None)
    found: dict[str, str] = {}
    for principle in asked:
        if (kind := weak_kind(settings, principle.text)) is not None:
            found[principle.id] = f"the judge abstains on principles of the kind {kind}"
        elif (why := without_good_probe(settings, principle.text)) is not None:
            found[principle.id] = f"the judge has no good probe of the principle ({why})"
    return found


def require_a_judge(audited: AuditSubjects, tenets: frozenset[str]) -> None:
    """Raise ConfigError if a tenet without a machine check is audited and there is no judge."""
    judged = [p.id for p in audited.constitution.principles if p.check is None and p.id in tenets]
    if judged and audited.models.judge is None:
        raise ConfigError(
            f"{len(judged)} tenets have no machine check ({', '.join(judged[:5])}), and no judge is named",
            where="--judge",
            accepted="a model, or the folder of a trained judge (publius train judge)",
        )
