"""The eval stage: answer the held-out prompts with each variant of the policy and compare the answers."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError, DataError
from core.notices import note, warn
from core.progress import progress
from core.records import Answer
from core.store.files import is_there, os_errors, write_atomic
from evaluation.config import BASE
from evaluation.gates.decide import GateResult, decide_gates
from evaluation.gold_wins import CorrectedWinRate, corrected_win_rates, judged_comparisons, people_say
from evaluation.metrics import Evaluation, evaluate_answers
from evaluation.refusals.measures import RefusalFindings
from evaluation.refusals.prompts import RefusalPrompts
from evaluation.report import ReportContent, metrics_content, render_report
from evaluation.win_rate import Win, judge_wins, skipped_wins, win_rate_series
from labelers.ai import AILabeler
from publius.runs.engines import Engines, conversations
from publius.runs.folder import Run
from publius.runs.reader import open_judgments
from publius.stages.base import Stage, StageResult, prompts_of
from publius.stages.judges.trained import judged_constitution
from publius.stages.quality.answering import AnsweringPolicy
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
    # All engines before the first request: those that share a model must know all adapters when it loads.
    policies = [
        AnsweringPolicy(run, engines.policy_with(run.adapter(variant)), variant, _STAGE)
        for variant in available_variants(run)
    ]
    answers: list[Answer] = []
    for policy in policies:
        answers += await policy.answer_all(engines, prompts)
    run.replace_answers(answers)
    refusals = await _refusals(run, engines, policies, asked)
    wins = await _judged(run, engines, answers)
    further = list(win_rate_series(wins))
    engines.keep()  # the forward passes load the policy itself, and need the memory
    by_prompt, by_text = series_by_forward_passes(run, engines.cache, answers)
    if refusals is not None:
        by_text += refusals.series()
    further += by_prompt
    evaluation = evaluate_answers(answers, run.constitution, further, run.config.seed, by_text)
    gates, mistakes = _gates(run, evaluation)
    corrected = _corrected_by_people(run, wins)
    _write(run, _Findings(evaluation, answers, corrected, refusals, gates, mistakes))
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


async def _judged(run: Run, engines: Engines, answers: Sequence[Answer]) -> tuple[Win, ...]:
    """Return the comparisons with base if a judge is set; those without a verdict are excluded."""
    if run.config.models.judge is None:
        return ()
    judge = engines.of("judge")
    engines.keep(judge)
    constitution = judged_constitution(run.constitution, Path(run.config.models.of("judge").id))
    labeler = AILabeler(constitution, judge, run.config.label, run.config.seed, run.templates)
    others = sum(answer.variant != BASE for answer in answers)
    with progress("eval judge", others) as task:
        wins = await judge_wins(answers, labeler, conversations(run.config.engine), task.advance)
    for reason, count in skipped_wins(wins).items():
        run.exclude(_STAGE, "judge", reason, f"{count}")
    return wins


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
        gates = decide_gates(run.config.gates, evaluation.metrics)
    except ConfigError as error:
        return (), error
    for result in gates:
        if result.outcome != "pass":
            what = "failed" if result.outcome == "fail" else "is inconclusive"
            warn(f"the gate {what}: {result.line()}")
    return gates, None


@dataclass(frozen=True)
class _Findings:
    """What the evaluation found, and its report shows."""

    evaluation: Evaluation
    answers: Sequence[Answer]
    corrected: tuple[CorrectedWinRate, ...]
    refusals: RefusalFindings | None
    gates: tuple[GateResult, ...]
    mistakes: ConfigError | None
    """Gates on unknown metrics."""


def _write(run: Run, found: _Findings) -> None:
    folder: Path = run.folder / _FOLDER
    with os_errors(folder):
        folder.mkdir(exist_ok=True)
    excluded = run.excluded(_STAGE)
    judge = run.config.models.judge.id if run.config.models.judge else None
    figures = metrics_content(found.evaluation, excluded)
    if found.corrected:
        figures["win_rates_corrected"] = [one.as_json() for one in found.corrected]
    if found.refusals is not None:
        figures["refusals"] = found.refusals.as_json()
    figures["gates"] = [result.as_json() for result in found.gates]
    if found.mistakes is not None:
        figures["gates_not_checked"] = [str(problem) for problem in found.mistakes.problems]
    metrics = json.dumps(figures, indent=2, ensure_ascii=False)
    write_atomic(folder / "metrics.json", metrics + "\n")
    shown, loop = run.config.eval.samples_shown, run.manifest["stages"].get("critique", {}).get("loop", {})
    content = ReportContent(
        run.constitution,
        found.evaluation,
        found.answers,
        excluded,
        shown,
        judge,
        loop,
        corrected=tuple(one.line() for one in found.corrected),
        refusals=found.refusals,
        gates=found.gates,
    )
    write_atomic(folder / "report.md", render_report(content))
