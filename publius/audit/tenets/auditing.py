"""`publius audit model`: have models answer scenarios, rate each tenet, and write the audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import ConfigError, EngineError
from core.lazy import require
from core.notices import counted, note, warn
from core.records import Message
from core.store.files import os_errors, write_atomic
from engines.cached import CachedEngine
from evaluation.measures import is_empty
from evaluation.tenets.figures import RatedTenet, fewest_scenarios, surely_above, tenet_figures
from evaluation.tenets.gold import SHEET_FILE, judge_errors, read_sheet, sheet_rows, sheet_text
from evaluation.tenets.ratings import AuditedReply, TenetRating
from evaluation.tenets.record import (
    AuditedVariant,
    JudgeErrors,
    JudgeUsed,
    ModelAudit,
    ShownViolation,
    TenetFigures,
)
from evaluation.tenets.report import tenet_report
from prompts.scenarios.file import Scenario, ScenarioFile, read_scenarios
from publius.audit.tenets.answering import ScenarioAnswers, rated_turns
from publius.audit.tenets.certifying import judge_used, require_a_judge, unjudged_tenets
from publius.audit.tenets.planning import TenetAuditPlan, tenet_audit_plan
from publius.audit.tenets.rating import TenetJudge, TenetRater, surest_violations
from publius.audit.tenets.subjects import AuditSubject, AuditSubjects, ModelAuditRequest, audit_subjects
from publius.models.examples_used import prompt_key, trained_prompts
from publius.runs.engines import EngineMaker, Engines, conversations, make_engine
from publius.runs.manifest import package_versions
from publius.runs.project import open_cache
from publius.stages.quality.before import trained_on_line

MODEL_AUDIT, TENET_REPORT = "audit.json", "audit.md"
AUDITED_REPLIES, TENET_RATINGS = "replies.jsonl", "ratings.jsonl"


@dataclass(frozen=True)
class ModelAuditResult:
    """The audit and the folder that holds it; only the plan if nothing was asked."""

    folder: Path
    plan: TenetAuditPlan
    audit: ModelAudit | None = None

    @property
    def failed(self) -> bool:
        """True if a violation rate is surely above the allowed one."""
        return self.audit is not None and bool(self.audit.above)

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        if self.audit is None:
            return {"plan": self.plan.as_json()}
        return {"folder": str(self.folder), **self.audit.model_dump(mode="json", exclude_none=True)}


@dataclass(frozen=True)
class _Work:
    """What the parts of an audit share."""

    request: ModelAuditRequest
    audited: AuditSubjects
    file: ScenarioFile
    scenarios: Sequence[Scenario]
    unjudged: Mapping[str, str]


def audit_model(request: ModelAuditRequest, make: EngineMaker = make_engine) -> ModelAuditResult:
    """Audit models by tenet.

    All answers are in the request cache of the project: after an interruption, the same command resumes.

    Raises:
        ConfigError: if an option, the constitution, the scenarios or a run's settings are invalid.
        DataError: if the sheet of gold labels is invalid.
        EngineError: if a model cannot be asked, or none of its conversations could be had.
        MissingExtraError: if scipy is not installed.
        RunStateError: if the folder cannot be written.
    """
    require("scipy", "train")
    audited = audit_subjects(request)
    file = read_scenarios(request.scenarios, audited.constitution)
    judge = audited.models.judge
    unjudged = unjudged_tenets(audited.constitution, None if judge is None else Path(judge.id))
    scenarios = _rated(file, audited, unjudged, all_tenets=request.all_tenets)
    tenets = frozenset(p.id for p in audited.constitution.principles)
    require_a_judge(audited, tenets if request.all_tenets else frozenset(s.tenet for s in scenarios))
    read_sheet(request.to / SHEET_FILE)  # its mistakes are reported before any request
    with open_cache(audited.project) as cache:
        engines = Engines(audited.models, audited.engine, cache, make, roles=())
        try:
            work = _Work(request, audited, file, scenarios, unjudged)
            for warning in _warnings(work):
                warn(warning)
            return _audited(work, engines)
        finally:
            engines.close()


def _rated(
    file: ScenarioFile, audited: AuditSubjects, unjudged: Mapping[str, str], *, all_tenets: bool
) -> list[Scenario]:
    """Return the scenarios that are answered: without those of tenets that nothing rates."""
    found = [one for one in file.scenarios if all_tenets or one.tenet not in unjudged]
    for tenet, reason in unjudged.items():
        warn(f"{tenet} is not rated: {reason}")
    if not found:
        raise ConfigError(
            "no tenet with scenarios can be rated",
            where="--judge",
            accepted="another judge, or machine checks",
        )
    covered = {one.tenet for one in found}
    missing = [p.id for p in audited.constitution.principles if p.id not in {*covered, *unjudged}]
    if missing:
        note(f"tenets without a scenario are not audited: {', '.join(missing)}")
    return found


def _audited(work: _Work, engines: Engines) -> ModelAuditResult:
    request, audited = work.request, work.audited
    # All engines before the first request: those that share a model must know all adapters when it loads.
    asked = {subject.name: engines.of_model(subject.model) for subject in audited.subjects}
    user = None if audited.user is None else engines.of_model(audited.user)
    answers = ScenarioAnswers(audited, work.scenarios, request.samples, request.seed, user)
    unjudged = frozenset(work.unjudged)
    plan = tenet_audit_plan(request, audited, work.scenarios, answers, engines, unjudged)
    if request.estimate:
        return ModelAuditResult(request.to, plan)
    note(plan.line())
    rater, used = _rater(work, engines) if plan.ratings else (_exact(work), None)
    replies: list[AuditedReply] = []
    variants = []
    for subject in audited.subjects:
        engine = asked[subject.name]
        engines.keep(engine, *([] if user is None else [user]))
        own = answers.of(subject, engine, engines)
        if not own:
            raise EngineError(
                "none of its conversations could be had",
                where=subject.name,
                accepted=str(dict(answers.excluded)),
            )
        variants.append(_variant(subject, engine, own))
        replies += own
    engines.keep(*([] if rater.judge is None else [rater.judge.engine]))
    by_id = {reply.id: reply for reply in replies}
    ratings = rater.cite(rater.rate(replies), by_id, request.cited)
    note(engines.counts().summary())
    _write_records(request.to, replies, ratings)
    audit = _result(work, variants, ratings, by_id, used, answers)
    _write(request.to, audit)
    return ModelAuditResult(request.to, plan, audit)


def _rater(work: _Work, engines: Engines) -> tuple[TenetRater, JudgeUsed]:
    audited, engine = work.audited, engines.of("judge")
    limit = conversations(engines.settings("judge"))
    judge = TenetJudge(engine, audited.constitution, audited.templates, limit)
    used = judge_used(audited, engine, judge.config)
    for warning in used.warnings:
        warn(warning)
    return _exact(work, judge), used


def _exact(work: _Work, judge: TenetJudge | None = None) -> TenetRater:
    scenarios = {one.id: one for one in work.scenarios}
    constitution = work.audited.constitution
    return TenetRater(constitution, scenarios, judge, frozenset(work.unjudged), work.request.all_tenets)


def _variant(subject: AuditSubject, engine: CachedEngine, replies: Sequence[AuditedReply]) -> AuditedVariant:
    generations = [generation for reply in replies for generation in reply.replies]
    return AuditedVariant(
        name=subject.name,
        model=engine.model,
        adapter=None if subject.trained is None else str(subject.trained),
        prompted=subject.prompted,
        replies=len(generations),
        empty=sum(is_empty(one.text) for one in generations),
        cut_off=sum(one.finish_reason == "length" for one in generations),
    )


def _result(
    work: _Work,
    variants: Sequence[AuditedVariant],
    ratings: Sequence[TenetRating],
    replies: Mapping[str, AuditedReply],
    used: JudgeUsed | None,
    answers: ScenarioAnswers,
) -> ModelAudit:
    request, audited = work.request, work.audited
    errors = _gold_errors(work, ratings, replies)
    tenets = _tenets(work, variants, ratings, errors)
    above: Sequence[tuple[str, str]] = ()
    if request.max_violations is not None:
        above = surely_above(tenets, audited.judged_for_limit, request.max_violations)
    return ModelAudit(
        publius=package_versions()["publius"],
        created=datetime.now(UTC).date().isoformat(),
        seed=request.seed,
        constitution=audited.constitution.name,
        constitution_digest=audited.constitution.digest,
        scenarios=request.scenarios.name,
        scenarios_digest=work.file.digest,
        authors=dict(Counter(one.author for one in work.scenarios)),
        samples=request.samples,
        sampling=audited.sampling.model_dump(mode="json"),
        simulated_user=None if answers.user is None else answers.user.model,
        baseline=audited.subjects[0].name,
        variants=tuple(variants),
        tenets=tenets,
        judge=None if used is None else used.model_copy(update={"errors": errors.get(None)}),
        examples=tuple(_shown(ratings, replies, request.cited)),
        excluded=dict(answers.excluded),
        warnings=tuple(_warnings(work)),
        max_violations=request.max_violations,
        above=tuple(f"{variant}: {tenet}" for variant, tenet in above),
    )


def _tenets(
    work: _Work,
    variants: Sequence[AuditedVariant],
    ratings: Sequence[TenetRating],
    errors: Mapping[str | None, JudgeErrors],
) -> tuple[TenetFigures, ...]:
    rated = {rating.tenet for rating in ratings} | work.unjudged.keys()
    tenets = [
        RatedTenet(p, "judge" if p.check is None else "check", errors.get(p.id), work.unjudged.get(p.id))
        for p in work.audited.constitution.principles
        if p.id in rated
    ]
    return tenet_figures(tenets, [one.name for one in variants], ratings, work.request.seed)


def _gold_errors(
    work: _Work, ratings: Sequence[TenetRating], replies: Mapping[str, AuditedReply]
) -> Mapping[str | None, JudgeErrors]:
    """Return the judge's errors by the labels of the sheet; write a sheet if there is none with labels."""
    path, texts = work.request.to / SHEET_FILE, {p.id: p.text for p in work.audited.constitution.principles}
    labels = read_sheet(path)
    if labels:
        known = labels.keys() & {rating.id for rating in ratings}
        if len(known) < len(labels):
            others = counted(len(labels) - len(known), "label")
            warn(f"{path}: {others} of conversations that are not in this audit")
        return judge_errors(labels, ratings)
    rows = sheet_rows(ratings, texts, work.request.sheet, work.request.seed)
    if rows:
        with os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, sheet_text(rows, replies, texts))
        note(f"to measure the judge, fill in the column violates of {path} and run the same command again")
    return {}


def _shown(
    ratings: Sequence[TenetRating], replies: Mapping[str, AuditedReply], each: int
) -> list[ShownViolation]:
    """Return the surest violations of each tenet and variant, in the order of tenets and variants."""
    shown = []
    chosen = {rating.id for rating in surest_violations(ratings, each)}
    tenets, variants = (
        {name: n for n, name in enumerate(dict.fromkeys(names))}
        for names in ((r.tenet for r in ratings), (r.variant for r in ratings))
    )
    for rating in sorted(
        (rating for rating in ratings if rating.id in chosen),
        key=lambda r: (tenets[r.tenet], variants[r.variant], -(r.violation or 0.0), r.id),
    ):
        reply = replies[rating.reply]
        before, text = next((b, t) for number, b, t in rated_turns(reply) if number == rating.turn)
        shown.append(
            ShownViolation(
                tenet=rating.tenet,
                variant=rating.variant,
                kind=rating.kind,
                messages=before,
                reply=text,
                violation=rating.violation or 0.0,
                by=rating.by,
                finding=rating.finding,
                citation=rating.citation,
            )
        )
    return shown


def _warnings(work: _Work) -> Iterator[str]:
    """Yield what speaks against the scenarios."""
    reworded = work.file.reworded(work.audited.constitution)
    if reworded:
        yield (
            f"the scenarios of {', '.join(reworded)} were written for another wording; to have new ones, "
            "delete them and run publius audit scenarios"
        )
    asked = [(Message(role="user", content=one.user[0]),) for one in work.scenarios]
    for subject in work.audited.subjects:
        known = None if subject.trained is None else trained_prompts(subject.trained)
        if same := sum(prompt_key(messages) in (known or ()) for messages in asked):
            yield trained_on_line(subject.name, same, len(asked))
    counts = Counter(one.tenet for one in work.scenarios)
    needed = fewest_scenarios(len(counts) * (len(work.audited.subjects) - 1))
    few = [tenet for tenet, count in counts.items() if count < needed]
    if few and len(work.audited.subjects) > 1 and not work.request.all_tenets:
        yield (
            f"fewer than {needed} scenarios of {', '.join(few)}: even if all of them change, the difference "
            "may not be told from noise beside those of the other tenets"
        )


def _write_records(folder: Path, replies: Sequence[AuditedReply], ratings: Sequence[TenetRating]) -> None:
    with os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / AUDITED_REPLIES, "".join(reply.to_line() for reply in replies))
    write_atomic(folder / TENET_RATINGS, "".join(rating.to_line() for rating in ratings))


def _write(folder: Path, audit: ModelAudit) -> None:
    write_atomic(folder / TENET_REPORT, tenet_report(audit))
    write_atomic(folder / MODEL_AUDIT, audit.model_dump_json(exclude_none=True, indent=2) + "\n")
