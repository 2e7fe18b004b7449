"""The eval stage: answer the held-out prompts with each variant of the policy and compare the answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.errors import DataError
from core.progress import progress
from core.records import Answer
from core.store.files import os_errors, write_atomic
from evaluation.config import BASE
from evaluation.measures import Series
from evaluation.metrics import Evaluation, evaluate_answers
from evaluation.report import ReportContent, metrics_content, render_report
from evaluation.win_rate import judge_wins, skipped_wins, win_rate_series
from labelers.ai import AILabeler
from publius.runs.engines import Engines, conversations
from publius.runs.folder import Run
from publius.stages.base import Stage, StageResult, prompts_of
from publius.stages.judges.trained import judged_constitution
from publius.stages.quality.answering import AnsweringPolicy
from publius.stages.quality.evaluated import series_by_forward_passes
from publius.stages.variants import available_variants

_STAGE: Stage = "eval"


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
    # All engines before the first request: those that share a model must know all adapters when it loads.
    policies = [
        AnsweringPolicy(run, engines.policy_with(run.adapter(variant)), variant, _STAGE)
        for variant in available_variants(run)
    ]
    answers: list[Answer] = []
    for policy in policies:
        answers += await policy.answer_all(engines, prompts)
    run.replace_answers(answers)
    further = list(await _judged(run, engines, answers))
    engines.keep()  # the forward passes load the policy itself, and need the memory
    by_prompt, by_text = series_by_forward_passes(run, engines.cache, answers)
    further += by_prompt
    evaluation = evaluate_answers(answers, run.constitution, further, run.config.seed, by_text)
    _write(run, evaluation, answers)
    counts, seconds = engines.take_counts(), time.monotonic() - started
    run.record_stage(_STAGE, len(answers), counts, seconds)
    return StageResult(_STAGE, len(answers), run.excluded(_STAGE), counts, seconds)


async def _judged(run: Run, engines: Engines, answers: Sequence[Answer]) -> Iterator[Series]:
    """Return the win rates over base if a judge is set; answers without a verdict are excluded."""
    if run.config.models.judge is None:
        return iter(())
    judge = engines.of("judge")
    engines.keep(judge)
    constitution = judged_constitution(run.constitution, Path(run.config.models.of("judge").id))
    labeler = AILabeler(constitution, judge, run.config.label, run.config.seed, run.templates)
    others = sum(answer.variant != BASE for answer in answers)
    with progress("eval judge", others) as task:
        wins = await judge_wins(answers, labeler, conversations(run.config.engine), task.advance)
    for reason, count in skipped_wins(wins).items():
        run.exclude(_STAGE, "judge", reason, f"{count}")
    return iter(win_rate_series(wins))


def _write(run: Run, evaluation: Evaluation, answers: Sequence[Answer]) -> None:
    folder: Path = run.folder / "eval"
    with os_errors(folder):
        folder.mkdir(exist_ok=True)
    excluded = run.excluded(_STAGE)
    judge = run.config.models.judge.id if run.config.models.judge else None
    metrics = json.dumps(metrics_content(evaluation, excluded), indent=2, ensure_ascii=False)
    write_atomic(folder / "metrics.json", metrics + "\n")
    shown, loop = run.config.eval.samples_shown, run.manifest["stages"].get("critique", {}).get("loop", {})
    content = ReportContent(run.constitution, evaluation, answers, excluded, shown, judge, loop)
    write_atomic(folder / "report.md", render_report(content))
