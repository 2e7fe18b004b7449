"""The eval stage: answer the held-out prompts with each variant of the policy and compare the answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.concurrency import for_each
from core.digests import derive_seed
from core.errors import DataError, RequestError
from core.libraries import memory_errors
from core.notices import note
from core.progress import progress
from core.records import Answer, Prompt
from core.store.files import os_errors, write_atomic
from engines.cached import CachedEngine
from engines.protocols import GenerationRequest
from evaluation.config import BASE, Variant
from evaluation.measures import Series
from evaluation.metrics import Evaluation, evaluate_answers
from evaluation.report import ReportContent, metrics_content, render_report
from evaluation.win_rate import judge_wins, skipped_wins, win_rate_series
from labelers.ai import AILabeler
from publius.runs.engines import Engines, conversations
from publius.runs.folder import Run
from publius.stages.base import Stage, StageResult, live_note, prompts_of
from publius.stages.divergence import divergence_series
from publius.stages.variants import available_variants, turns_for

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
    askers = [
        _Asker(run, engines.policy_with(run.adapter(variant)), variant) for variant in available_variants(run)
    ]
    answers: list[Answer] = []
    for asker in askers:
        answers += await _answers(asker, engines, prompts)
    run.replace_answers(answers)
    further = list(await _judged(run, engines, answers))
    engines.keep()  # the KL pass loads the policy itself, and needs the memory
    if run.config.eval.kl and run.config.engine.device_map == "auto":
        note("no KL divergence: it needs the model on one device, and engine.device_map is auto")
    elif run.config.eval.kl:
        with memory_errors("the KL divergence", run.folder, "eval.kl=false, or a smaller max_new_tokens"):
            further += divergence_series(run, answers)
    evaluation = evaluate_answers(answers, run.constitution, further, run.config.seed)
    _write(run, evaluation, answers)
    counts, seconds = engines.take_counts(), time.monotonic() - started
    run.record_stage(_STAGE, len(answers), counts, seconds)
    return StageResult(_STAGE, len(answers), run.excluded(_STAGE), counts, seconds)


@dataclass(frozen=True)
class _Asker:
    """Answers prompts as one variant of the policy."""

    run: Run
    engine: CachedEngine
    variant: Variant

    async def answer(self, prompt: Prompt) -> Answer:
        """Return the variant's answer. Raises RequestError if prompt and answer do not fit the model."""
        seed = derive_seed(self.run.config.seed, prompt.id, "eval")
        sampling = self.run.config.eval.sampling
        request = GenerationRequest(turns_for(self.run, self.variant, prompt), sampling, seed, "eval")
        return Answer.of(self.variant, prompt, await self.engine.generate(request))


async def _answers(asker: _Asker, engines: Engines, prompts: Sequence[Prompt]) -> list[Answer]:
    """Return one variant's answers in the order of the prompts; prompts that fail are excluded."""
    run, variant = asker.run, asker.variant
    engines.keep(asker.engine)
    found: dict[str, Answer] = {}
    with progress(f"eval {variant}", len(prompts)) as task:

        async def work(prompt: Prompt) -> None:
            try:
                found[prompt.id] = await asker.answer(prompt)
            except RequestError as error:
                run.leave_out(_STAGE, prompt.id, error, variant)
            task.advance()

        async with live_note(task, engines, time.monotonic()):
            await for_each(iter(prompts), work, conversations(run.config.engine))
    return [found[prompt.id] for prompt in prompts if prompt.id in found]


async def _judged(run: Run, engines: Engines, answers: Sequence[Answer]) -> Iterator[Series]:
    """Return the win rates over base if a judge is set; answers without a verdict are excluded."""
    if run.config.models.judge is None:
        return iter(())
    judge = engines.of("judge")
    engines.keep(judge)
    labeler = AILabeler(run.constitution, judge, run.config.label, run.config.seed, run.templates)
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
    content = ReportContent(
        run.constitution, evaluation, answers, excluded, run.config.eval.samples_shown, judge
    )
    write_atomic(folder / "report.md", render_report(content))
