"""The eval stage: answer the held-out prompts with each variant of the policy and compare the answers."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from constitution.schema import Constitution
from core.errors import ConfigError, DataError, shell_command
from core.notices import counted, note, warn
from core.progress import progress, shown_time
from core.records import Answer
from core.store.files import is_there, os_errors, write_atomic
from core.text.documents import escaped
from engines.cached import CachedEngine
from evaluation.drift.measured import drift_metrics, drift_series
from evaluation.findings import Findings
from evaluation.gates.decide import GateResult, decide_gates
from evaluation.gates.variants import gates_without_variant
from evaluation.gold_wins import CorrectedWinRate, corrected_win_rates, judged_comparisons, people_say
from evaluation.judged.ratings import AnswerRating, judged_series
from evaluation.length_control import length_controlled_rates
from evaluation.measures import SERIES_FILE, ceiling_sentences, cut_off_sentences
from evaluation.metrics import DELTA, Evaluation, evaluate_answers, with_metrics
from evaluation.ranking import ranked_variants
from evaluation.refusals.measures import RefusalFindings
from evaluation.refusals.prompts import RefusalPrompts
from evaluation.report import ReportContent, metrics_content, render_report
from evaluation.win_rate import (
    Win,
    every_pair_of,
    judge_wins,
    pairs_with_base,
    skipped_wins,
    win_rate_series,
)
from labelers.ai import AILabeler
from publius.runs.engines import Engines, conversations
from publius.runs.folder import Run
from publius.runs.inputs import record_evaluation
from publius.runs.reader import open_judgments
from publius.stages.base import Stage, StageResult, evaluated_prompts
from publius.stages.judges.rated import (
    audit_of_judge,
    judged_findings,
    labels_of_people,
    rated_answers,
    write_ratings,
)
from publius.stages.judges.trained import judged_constitution
from publius.stages.quality.answering import AnsweringPolicy, record_answering
from publius.stages.quality.before import prompts_trained_on, read_before, trained_on_line
from publius.stages.quality.best_of import curve_of, sampled_answers, sampled_policy
from publius.stages.quality.drifted import drift_of
from publius.stages.quality.evaluated import planned_work, series_by_forward_passes
from publius.stages.quality.refusing import (
    answers_to_refusal_prompts,
    refusal_prompts_of,
    write_responses,
)
from publius.stages.variants import available_variants

_STAGE: Stage = "eval"
_WORTH_SAYING_S = 15.0
"""Seconds of the first variant from which on the time of the others is estimated."""
_FOLDER, _PEOPLE = "eval", "human"
"""Folder of the report, and the folder in it where `publius annotate` collects people's judgments."""


def _hold_prompts_out(run: Run) -> str:
    """Return the command that holds prompts out: all of them if nothing trains on the others."""
    shares = {"train": "0.4", "preference": "0.4", "test": "0.2"}
    if not run.config.train:
        shares = {"train": "0", "preference": "0", "test": "1"}
    words = [word for name, share in shares.items() for word in ("--set", f"split.{name}={share}")]
    return shell_command("publius", "eval", "RUN.yaml", *words)


async def eval_stage(run: Run, engines: Engines) -> StageResult:
    """Answer the held-out prompts with every variant, compute metrics and write `eval/`."""
    started = time.monotonic()
    engines.take_counts()
    run.forget_failures(_STAGE)
    run.exclude_again(_STAGE)
    prompts = evaluated_prompts(run)
    if not prompts:
        raise DataError(
            "no held-out prompts to evaluate on",
            where=str(run.config.prompts.path),
            accepted='prompts with "split": "test", or split.test above 0 (docs/run-settings.md)',
            run=_hold_prompts_out(run),
        )
    asked = refusal_prompts_of(run)  # before the first request: the file may be unreadable
    gold = labels_of_people(run)  # likewise
    # All engines before the first request: those that share a model must know all adapters when it loads.
    policies = [
        AnsweringPolicy(run, engines.policy_with(run.adapter(variant)), variant, _STAGE)
        for variant in available_variants(run)
    ]
    drawing = sampled_policy(run, engines)
    for line in gates_without_variant(run.config.gates, [policy.variant for policy in policies]):
        warn(line)
    for line in planned_work(run, prompts, [policy.variant for policy in policies], asked):
        note(line)
    seen = prompts_trained_on(run, [policy.variant for policy in policies], prompts)
    _say_trained_on(run, seen, len(prompts))
    answers: list[Answer] = []
    answering = time.monotonic()
    for number, policy in enumerate(policies, start=1):
        began = time.monotonic()
        answers += await policy.answer_all(engines, prompts)
        if number == 1:
            _note_time_left(policy.variant, time.monotonic() - began, len(policies) - number)
    record_answering(run, _STAGE, engines.counts(), time.monotonic() - answering)
    run.replace_answers(answers)
    refusals = await _refusals(run, engines, policies, asked)
    drawn = await sampled_answers(run, engines, drawing, prompts) if drawing else {}
    wins, ratings = await _judged(run, engines, answers)
    audit = audit_of_judge(run, engines) if ratings else {}
    judged = judged_findings(run, ratings, gold, audit, is_labeler=_is_labeler(run))
    further = list(win_rate_series(wins))
    engines.keep()  # the forward passes load the policy itself, and need the memory
    curve = curve_of(run, drawing, prompts, drawn) if drawing else None
    by_prompt, by_text = series_by_forward_passes(run, engines.cache, answers)
    if refusals is not None:
        by_text += refusals.series()
    further += [*judged_series(ratings), *by_prompt, *drift_series(answers, run.config.seed)]
    for line in judged.lines() if judged else ():
        note(f"rated by the judge, {line}")
    rows = [row for one in judged.corrected for row in one.rows()] if judged else []
    evaluation = evaluate_answers(answers, run.constitution, further, run.config.seed, by_text, rows)
    controlled = length_controlled_rates(wins)
    differences = sum(metric.name.endswith(f".{DELTA}") for metric in evaluation.metrics)
    measured = [rate.metric(name) for name, rate in controlled.items()]
    evaluation = with_metrics(evaluation, [*measured, *drift_metrics(answers, differences)])
    gates, mistakes = _gates(run, evaluation)
    corrected, drift = _corrected_by_people(run, wins), drift_of(run, answers, curve)
    ranking = ranked_variants(wins)
    findings = Findings(corrected, controlled, refusals, drift, ranking, gates, mistakes, judged)
    _write(run, evaluation, answers, findings, seen)
    write_ratings(run, ratings, answers)
    _record_settings(run, engines)
    counts, seconds = engines.take_counts(), time.monotonic() - started
    run.record_stage(_STAGE, len(answers), counts, seconds)
    # Mistakes are raised after all stages: only the gates have to be mended.
    return StageResult(_STAGE, len(answers), run.excluded(_STAGE), counts, seconds, mistakes=mistakes)


def _say_trained_on(run: Run, seen: Mapping[str, int | None], prompts: int) -> None:
    """Print which variants were trained on some of the prompts, and of which that is not known."""
    for variant, same in seen.items():
        if same is None:
            note(
                f"whether {variant} was trained on these prompts is not known: "
                f"{(run.folder / variant).resolve()} does not record its prompts "
                "(the same publius train --data command again does)"
            )
        elif same:
            warn(trained_on_line(variant, same, prompts))


def _note_time_left(variant: str, seconds: float, others: int) -> None:
    """Print how long the other variants will take, by the first one, if that took long enough to say."""
    if others and seconds >= _WORTH_SAYING_S:
        note(
            f"eval: {variant} took {shown_time(seconds)}; {counted(others, 'more variant')}, about "
            f"{shown_time(others * seconds)} at this speed, before forward passes and the judge"
        )


def _record_settings(run: Run, engines: Engines) -> None:
    """Record the settings and the judge of this evaluation, which are no part of the run's identity."""
    judge = run.config.models.judge
    record_evaluation(run.folder, run.config)
    run.note_result(_STAGE, "judge", judge and {"id": judge.id, "digest": engines.of("judge").identity})


async def _refusals(
    run: Run, engines: Engines, policies: Sequence[AnsweringPolicy], asked: RefusalPrompts | None
) -> RefusalFindings | None:
    """Return how the variants respond to the refusal prompts, and write it down; None without prompts."""
    findings = None
    if asked is not None:
        findings = RefusalFindings.of(asked, await answers_to_refusal_prompts(policies, engines, asked))
    write_responses(run, findings)
    return findings


async def _judged(
    run: Run, engines: Engines, answers: Sequence[Answer]
) -> tuple[tuple[Win, ...], tuple[AnswerRating, ...]]:
    """Return the comparisons with base and the ratings of all answers, if a judge is set."""
    if run.config.models.judge is None:
        return (), ()
    judge = engines.of("judge")
    engines.keep(judge)
    constitution = judged_constitution(run.constitution, Path(run.config.models.of("judge").id))
    if _is_labeler(run):
        warn("the judge is the labeler, and prefers what it taught; set models.judge to another model")
    wins = await _compared(run, judge, answers, constitution)
    return wins, await rated_answers(run, engines, answers, constitution)


async def _compared(
    run: Run, judge: CachedEngine, answers: Sequence[Answer], constitution: Constitution
) -> tuple[Win, ...]:
    """Return the comparisons with base; those without a verdict are excluded."""
    labeler = AILabeler(constitution, judge, run.config.label, run.config.seed, run.templates)
    every_pair = run.config.eval.pairs == "all"
    compared = list(every_pair_of(answers) if every_pair else pairs_with_base(answers))
    with progress("eval judge", len(compared)) as task:
        wins = await judge_wins(
            answers, labeler, conversations(run.config.engine), task.advance, every_pair=every_pair
        )
    for reason, count in skipped_wins(wins).items():
        run.exclude(_STAGE, "judge", reason, f"{count}")
    return wins


def _is_labeler(run: Run) -> bool:
    """Return True if the model that judges the evaluation also labeled the training data."""
    models = run.config.models
    if models.judge is None:
        return False
    judge, labeler = models.of("judge"), models.of("labeler")
    return (judge.id, judge.adapter) == (labeler.id, labeler.adapter)


def _corrected_by_people(run: Run, wins: Sequence[Win]) -> tuple[CorrectedWinRate, ...]:
    """Return the win rates corrected by people, and write the comparisons for them to judge.

    `publius annotate RUN/eval` shows these comparisons and collects the judgments beside them.
    """
    if not wins:
        return ()
    folder = run.folder / _FOLDER
    comparisons = judged_comparisons(wins)
    with os_errors(folder):
        folder.mkdir(exist_ok=True)
        lines = (comparison.to_line() for _, comparison in sorted(comparisons.items()))
        write_atomic(folder / "comparisons.jsonl", "".join(lines))
    if not is_there(folder / _PEOPLE / "judgments.jsonl"):
        return ()
    with open_judgments(folder / _PEOPLE) as files:
        found = corrected_win_rates(wins, people_say(files.judgments))
    for one in found:
        note(f"win rate where answers differ, {one.line()}")
    return found


def _gates(run: Run, evaluation: Evaluation) -> tuple[tuple[GateResult, ...], ConfigError | None]:
    """Return the outcomes of the gates, or none and the error if one names an unknown metric."""
    try:
        gates = decide_gates(run.config.gates, evaluation.metrics, evaluation.series)
    except ConfigError as error:
        return (), error
    for result in gates:
        # Few prompts decide nothing, and the report says so: a gate that nobody asked for should not.
        if result.outcome == "fail" or (result.outcome == "inconclusive" and not result.is_default):
            what = "failed" if result.outcome == "fail" else "is inconclusive"
            warn(f"the gate {what}: {result.line()}")
    return gates, None


def _write(
    run: Run,
    evaluation: Evaluation,
    answers: Sequence[Answer],
    findings: Findings,
    seen: Mapping[str, int | None],
) -> None:
    folder: Path = run.folder / _FOLDER
    with os_errors(folder):
        folder.mkdir(exist_ok=True)
    not_rated = findings.judged.not_rated if findings.judged else {}
    excluded = {**run.excluded(_STAGE), **not_rated}
    judge = run.config.models.judge.id if run.config.models.judge else None
    figures = metrics_content(evaluation, excluded) | findings.as_json()
    figures |= {"prompts_trained_on": dict(seen)} if seen else {}
    metrics = json.dumps(figures, indent=2, ensure_ascii=False)
    lines = (json.dumps(one.as_json(), ensure_ascii=False) + "\n" for one in evaluation.series)
    write_atomic(folder / SERIES_FILE, "".join(lines))
    write_atomic(folder / "metrics.json", metrics + "\n")
    shown, loop = run.config.eval.samples_shown, run.manifest["stages"].get("critique", {}).get("loop", {})
    before = read_before(run, evaluation.variants)
    asked = int(figures["prompts"])
    learned = [f"{escaped(trained_on_line(name, same, asked))}." for name, same in seen.items() if same]
    limit = run.config.eval.sampling.max_new_tokens
    measured = (
        *cut_off_sentences(evaluation.metrics, run.constitution, limit),
        *ceiling_sentences(evaluation.metrics),
    )
    content = ReportContent(
        run.constitution,
        evaluation,
        answers,
        excluded,
        shown,
        judge,
        loop,
        findings,
        _is_labeler(run),
        (*before.caveats, *map(escaped, measured), *learned),
        before.trained_on,
        before.excluded,
        not learned,
    )
    write_atomic(folder / "report.md", render_report(content))
