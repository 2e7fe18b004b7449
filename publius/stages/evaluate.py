"""The eval stage: answer the held-out prompts with each variant of the policy and compare the answers."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from constitution.schema import Constitution
from core.errors import ConfigError, DataError
from core.notices import note, warn
from core.progress import progress
from core.records import Answer
from core.store.files import is_there, os_errors, write_atomic
from engines.cached import CachedEngine
from evaluation.drift.measured import drift_metrics, drift_series
from evaluation.findings import Findings
from evaluation.gates.decide import GateResult, decide_gates
from evaluation.gold_wins import CorrectedWinRate, corrected_win_rates, judged_comparisons, people_say
from evaluation.judged.ratings import AnswerRating, judged_series
from evaluation.length_control import length_controlled_rates
from evaluation.measures import SERIES_FILE
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
from publius.runs.reader import open_judgments
from publius.stages.base import Stage, StageResult, prompts_of
from publius.stages.judges.rated import (
    judged_findings,
    labels_of_people,
    rated_answers,
    write_ratings,
)
from publius.stages.judges.trained import judged_constitution
from publius.stages.quality.answering import AnsweringPolicy
from publius.stages.quality.before import read_before
from publius.stages.quality.best_of import curve_of, sampled_answers, sampled_policy
from publius.stages.quality.drifted import drift_of
from publius.stages.quality.evaluated import series_by_forward_passes
from publius.stages.quality.refusing import (
    answers_to_refusal_prompts,
    refusal_prompts_of,
    write_responses,
)
from publius.stages.variants import available_variants

_STAGE: Stage = "eval"
_FOLDER, _PEOPLE = "eval", "human"
"""Folder of the report, and the folder in it where `publius annotate` collects people's judgments."""


async def eval_stage(run: Run, engines: Engines) -> StageResult:
    """Answer the held-out prompts with every variant, compute metrics and write `eval/`."""
    started = time.monotonic()
    engines.take_counts()
    run.forget_failures(_STAGE)
    prompts = list(prompts_of(run, {"test"}))
    if not prompts:
        raise DataError(
            "no held-out prompts to evaluate on",
            where=str(run.config.prompts.path),
            accepted='prompts with "split": "test", or split.test above 0',
        )
    asked = refusal_prompts_of(run)  # before the first request: the file may be unreadable
    gold = labels_of_people(run)  # likewise
    # All engines before the first request: those that share a model must know all adapters when it loads.
    policies = [
        AnsweringPolicy(run, engines.policy_with(run.adapter(variant)), variant, _STAGE)
        for variant in available_variants(run)
    ]
    drawing = sampled_policy(run, engines)
    answers: list[Answer] = []
    for policy in policies:
        answers += await policy.answer_all(engines, prompts)
    run.replace_answers(answers)
    refusals = await _refusals(run, engines, policies, asked)
    drawn = await sampled_answers(run, engines, drawing, prompts) if drawing else {}
    wins, ratings = await _judged(run, engines, answers)
    judged = judged_findings(run, ratings, gold, is_labeler=_is_labeler(run))
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
    _write(run, evaluation, answers, findings)
    if ratings:
        write_ratings(run, ratings, answers)
    counts, seconds = engines.take_counts(), time.monotonic() - started
    run.record_stage(_STAGE, len(answers), counts, seconds)
    if mistakes is not None:  # after the report is written: only the gates have to be mended
        raise mistakes
    return StageResult(_STAGE, len(answers), run.excluded(_STAGE), counts, seconds)


async def _refusals(
    run: Run, engines: Engines, policies: Sequence[AnsweringPolicy], asked: RefusalPrompts | None
) -> RefusalFindings | None:
    """Return how the variants respond to the refusal prompts, and write it down; None without prompts."""
    if asked is None:
        return None
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
) -> None:
    folder: Path = run.folder / _FOLDER
    with os_errors(folder):
        folder.mkdir(exist_ok=True)
    not_rated = findings.judged.not_rated if findings.judged else {}
    excluded = {**run.excluded(_STAGE), **not_rated}
    judge = run.config.models.judge.id if run.config.models.judge else None
    figures = metrics_content(evaluation, excluded) | findings.as_json()
    metrics = json.dumps(figures, indent=2, ensure_ascii=False)
    lines = (json.dumps(one.as_json(), ensure_ascii=False) + "\n" for one in evaluation.series)
    write_atomic(folder / SERIES_FILE, "".join(lines))
    write_atomic(folder / "metrics.json", metrics + "\n")
    shown, loop = run.config.eval.samples_shown, run.manifest["stages"].get("critique", {}).get("loop", {})
    before = read_before(run, evaluation.variants)
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
        before.caveats,
        before.trained_on,
        before.excluded,
    )
    write_atomic(folder / "report.md", render_report(content))
