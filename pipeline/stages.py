"""One function per stage: critique, compare, label. Each can be interrupted anywhere and run again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from core.concurrency import for_each
from core.errors import RequestError, RunStateError
from core.progress import ProgressTask, progress
from core.records import Comparison, CritiqueTrace, Preference, Prompt, Split
from core.store import RecordFile
from critique.comparisons import draft_against_revision, pair_samples, sample
from critique.loop import CritiqueLoop
from engines.cached import RequestCounts
from labelers.aggregate import aggregate
from labelers.ai import AILabeler
from labelers.check import check_judgments, checked_principles
from labelers.similarity import are_near_duplicates
from pipeline.engines import Engines
from pipeline.runs import Run
from prompts.sources import assign_split, read_prompts

Stage = Literal["critique", "compare", "label"]
STAGES: tuple[Stage, ...] = ("critique", "compare", "label")

_REFRESH_S = 1.0


@dataclass
class StageResult:
    """What a stage left behind, for the summary."""

    stage: Stage
    records: int
    left_out: dict[str, int]
    counts: RequestCounts
    seconds: float


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=_HasId)


def ingest_prompts(run: Run) -> None:
    """Copy the prompts file into the run, each prompt with its split; duplicates are counted out.

    The whole file is read and checked before any model is asked.
    """
    if "prompts" in run.manifest["stages"]:
        return
    config = run.config
    for _ in read_prompts(config.prompts.path):
        pass  # a mistake in the last line is told before the first prompt is taken in
    training, seen = 0, set[str]()
    for number, row in enumerate(read_prompts(config.prompts.path), start=1):
        prompt = assign_split(row, config.split.shares())
        if prompt.id in seen:
            run.exclude("prompts", prompt.id, "the prompt stands in the file twice", f"prompt {number}")
            continue
        seen.add(prompt.id)
        if prompt.split != "test":
            if config.prompts.limit is not None and training >= config.prompts.limit:
                run.exclude("prompts", prompt.id, "beyond prompts.limit")
                continue
            training += 1
        run.prompts.append(prompt)
    run.prompts.sync()
    run.record_stage("prompts", len(run.prompts), RequestCounts(), 0.0)


async def critique_stage(run: Run, engines: Engines) -> StageResult:
    """Draft, criticise and revise an answer to every training prompt that has no trace yet."""
    splits: set[Split] = {"train", "preference"} if run.config.compare.source == "revisions" else {"train"}
    loop = CritiqueLoop(
        run.constitution,
        run.templates,
        run.config.critique,
        engines.of("policy"),
        engines.of("critic"),
        run.config.seed,
    )

    async def work(prompt: Prompt) -> None:
        run.traces.append(await loop.trace(prompt))

    return await _run_stage(
        _Stage(run, engines, "critique", run.traces),
        lambda: _prompts_of(run, splits),
        lambda prompt: run.traces.has_children(prompt.id),
        work,
    )


async def compare_stage(run: Run, engines: Engines) -> StageResult:
    """Make the comparisons: from the traces, or from fresh samples of the policy."""
    if run.config.compare.source == "revisions":
        _require(run, "critique")
    stage = _Stage(run, engines, "compare", run.comparisons)
    if run.config.compare.source == "revisions":

        async def pair(trace: CritiqueTrace) -> None:
            _keep(run, draft_against_revision(trace), trace.prompt.id)

        return await _run_stage(
            stage, run.traces.sorted, lambda trace: run.comparisons.has_children(trace.prompt.id), pair
        )

    policy, config = engines.of("policy"), run.config.compare
    has_own = any(prompt.split == "preference" for prompt in run.prompts)
    splits: set[Split] = {"preference"} if has_own else {"train"}

    async def draw(prompt: Prompt) -> None:
        samples = await sample(policy, prompt, config, run.config.seed)
        for number, outcome in enumerate(pair_samples(prompt, samples, config)):
            _keep(run, outcome, prompt.id, f"pair {number}")

    # A prompt is never done for certain: a kill may have come between two of its comparisons. Answers that
    # were given are in the cache, and comparisons that were written are not doubled.
    return await _run_stage(stage, lambda: _prompts_of(run, splits), lambda prompt: False, draw)


async def label_stage(run: Run, engines: Engines) -> StageResult:
    """Judge every comparison by checks and AI labeler, then aggregate all judgments into preferences."""
    _require(run, "compare")
    config = run.config.label
    labeler = AILabeler(run.constitution, run.templates, config, engines.of("labeler"), run.config.seed)

    def judged(comparison: Comparison) -> set[str | None]:
        return {judgment.principle_id for judgment in run.judgments.children(comparison.id)}

    def is_done(comparison: Comparison) -> bool:
        if run.is_excluded(comparison.id, "label"):
            return True
        wanted = {*labeler.principles_for(comparison), *checked_principles(comparison, run.constitution)}
        return {principle.id for principle in wanted} <= judged(comparison)

    async def work(comparison: Comparison) -> None:
        if are_near_duplicates(comparison.response_a, comparison.response_b, config.near_duplicate):
            run.exclude("label", comparison.id, "the answers are nearly the same")
            return
        for judgment in check_judgments(comparison, run.constitution, config.check_confidence):
            run.judgments.append(judgment)
        done = judged(comparison)
        for principle in labeler.principles_for(comparison):
            if principle.id not in done:
                run.judgments.append(await labeler.judge(comparison, principle))

    stage = _Stage(run, engines, "label", run.judgments)
    result = await _run_stage(stage, run.comparisons.sorted, is_done, work)
    write_preferences(run)
    return result


def write_preferences(run: Run) -> int:
    """Aggregate all judgments anew into `preferences.jsonl`, in order of comparison; return their number."""

    def preferences() -> Iterator[Preference]:
        for comparison in run.comparisons.sorted():
            if run.is_excluded(comparison.id, "label"):
                continue
            outcome = aggregate(comparison, run.judgments.children(comparison.id), run.constitution)
            if isinstance(outcome, Preference):
                yield outcome
            else:
                run.exclude("aggregate", comparison.id, outcome)

    count = run.replace_preferences(preferences())
    run.record_stage("aggregate", count, RequestCounts(), 0.0)
    return count


def _require(run: Run, before: Stage) -> None:
    """Refuse a stage whose input another stage has yet to make."""
    if before not in run.manifest["stages"]:
        raise RunStateError(
            f"the stage {before} has not run yet",
            where=str(run.folder),
            run=f"publius {before} RUN.yaml, or publius run RUN.yaml for all stages",
        )


@dataclass(frozen=True)
class _Stage:
    """What every stage has: where it runs, its name and the file that it fills."""

    run: Run
    engines: Engines
    name: Stage
    output: RecordFile[Any]


async def _run_stage(
    stage: _Stage,
    items: Callable[[], Iterable[Item]],
    is_done: Callable[[Item], bool],
    work: Callable[[Item], Awaitable[None]],
) -> StageResult:
    """Do the work on every item that is not done, with progress, and account for it however it ends."""
    started = time.monotonic()
    stage.engines.take_counts()
    total, owed = 0, 0
    for item in items():
        total, owed = total + 1, owed + (not is_done(item))
    try:
        with progress(stage.name, total, done=total - owed) as task:

            async def guarded(item: Item) -> None:
                try:
                    await work(item)
                except RequestError as error:
                    stage.run.exclude(stage.name, item.id, error.reason, error.detail)
                task.advance()

            pending = (item for item in items() if not is_done(item))
            async with _live_note(task, stage.engines, started):
                await for_each(pending, guarded, stage.run.config.engine.concurrency)
    finally:
        stage.output.sync()
        counts, seconds = stage.engines.take_counts(), time.monotonic() - started
        stage.run.record_stage(stage.name, len(stage.output), counts, seconds)
    left_out = stage.run.excluded(stage.name)
    return StageResult(stage.name, len(stage.output), left_out, counts, seconds)


@asynccontextmanager
async def _live_note(task: ProgressTask, engines: Engines, started: float) -> AsyncIterator[None]:
    """Keep the progress line's figures fresh, also while no conversation has come to its end yet."""

    def show() -> None:
        counts = engines.counts()
        written = counts.completion_tokens / (time.monotonic() - started)
        task.note(f"{written:,.0f} tokens/s, {counts.summary()}")

    async def refresh() -> None:
        while True:
            await asyncio.sleep(_REFRESH_S)
            show()

    ticker = asyncio.create_task(refresh())
    try:
        yield
    finally:
        ticker.cancel()
        show()


def _keep(run: Run, outcome: Comparison | str, prompt_id: str, detail: str = "") -> None:
    if isinstance(outcome, Comparison):
        run.comparisons.append(outcome)
    else:
        run.exclude("compare", prompt_id, outcome, detail)


def _prompts_of(run: Run, splits: set[Split]) -> Iterator[Prompt]:
    return (prompt for prompt in run.prompts if prompt.split in splits)
