"""The parts that all stages share: progress, request counts, results and exclusions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from core.concurrency import for_each
from core.errors import ConfigError, RequestError, RunStateError
from core.notices import counted
from core.progress import ProgressTask, progress
from core.records import Exclusion, Prompt, Record, Split
from core.store.record_store import RecordFile
from engines.cached import CachedEngine, RequestCounts
from publius.runs.engines import Engines
from publius.runs.folder import Run
from training.methods import METHODS

Stage = Literal[
    "critique",
    "sample",
    "sft",
    "compare",
    "label",
    "reward",
    "dpo",
    "ppo",
    "rloo",
    "grpo",
    "distill",
    "choose",
    "eval",
]
STAGES: tuple[Stage, ...] = (
    "critique",
    "sample",
    "sft",
    "compare",
    "label",
    "reward",
    "dpo",
    "ppo",
    "rloo",
    "grpo",
    "distill",
    "choose",
    "eval",
)
"""All stages; each one builds on stages before it."""

SHARED_STAGES: tuple[Stage, ...] = ("critique", "sample", "compare", "label")
"""Stages that can be done in parts, by shards or workers: each of their records depends on one prompt."""

COMMANDS: dict[Stage, str] = {
    stage: f"publius train {stage}" if stage in METHODS else f"publius {stage}" for stage in STAGES
} | {"choose": "publius run --only choose"}
"""The command that runs each stage on its own."""

HERE = "here"
"""Name of the steps that are always done in this process."""

_REFRESH_S = 1.0
_UNUSUAL = 2
"""A silence is unusual if it is this many times as long as the longest one before it."""
_QUIET_S = 10.0
"""Seconds without progress of an engine after which the progress line says so."""


@dataclass
class StageResult:
    """The result of a stage, for the summary."""

    stage: Stage
    records: int
    excluded: dict[str, int]
    """Number of excluded records by reason."""
    counts: RequestCounts
    seconds: float
    advice: str | None = None
    """What was missing and what to do about it, if the stage had nothing to work on."""
    mistakes: ConfigError | None = None
    """Gates that could not be checked: the evaluation is complete without them."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        return {
            "records": self.records,
            "asked": dict(self.counts.asked),
            "reused": dict(self.counts.reused),
            **({"unusable": self.counts.unusable} if self.counts.unusable else {}),
            "seconds": round(self.seconds, 1),
            **({"advice": self.advice} if self.advice else {}),
        }


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


_Item = TypeVar("_Item", bound=_HasId)


def require_stage(run: Run, before: Stage) -> None:
    """Raise RunStateError if the stage that produces the input has not run."""
    if before not in run.manifest["stages"] and before not in run.under_way:
        raise RunStateError(
            f"the stage {before} has not run yet",
            where=str(run.folder),
            run=f"{COMMANDS[before]} RUN.yaml, or publius run RUN.yaml for all stages",
        )


@dataclass(frozen=True)
class NotMade:
    """An item, or the named part of it, that a step leaves out because of a request."""

    error: RequestError
    part: str = ""


Made = Record | NotMade
"""What a step makes of an item: a record of the stage, an exclusion, or something left out."""


@dataclass(frozen=True)
class Step:
    """What a stage does with each of its items by means of models, here or in another process."""

    name: str
    """Name by which a worker finds the step, such as `critique.trace`."""
    kept: tuple[CachedEngine, ...] | None
    """The engines that stay loaded, all others being closed before the first item; None to close none."""
    work: Callable[..., AsyncIterator[Made]]
    """Yields what an item leads to. A RequestError that it raises leaves out the item."""


@dataclass(frozen=True)
class StageWork:
    """The run, engines, name and output file of a stage that sends requests to engines."""

    run: Run
    engines: Engines
    name: Stage
    output: RecordFile[Any]
    title: str = ""
    """Label of the progress line, if not the name."""

    def recorded(self) -> StageResult:
        """Return the result of the stage as its folder has it, for a process in which nothing was left."""
        self.run.record_stage(self.name, len(self.output), RequestCounts(), 0.0)
        excluded = self.run.excluded(self.name)
        return StageResult(self.name, len(self.output), excluded, RequestCounts(), 0.0)

    async def do(self, step: Step, item: _Item) -> None:
        """Do a step on an item and store what it makes of it."""
        try:
            async for made in self.engines.done(step.name, step.work, item):
                self.store(item.id, (made,))
        except RequestError as error:
            self.run.leave_out(self.name, item.id, error)

    def store(self, item_id: str, found: Iterable[Made]) -> None:
        """Store what a step made of the item with this id."""
        for made in found:
            if isinstance(made, NotMade):
                self.run.leave_out(self.name, item_id, made.error, made.part)
            elif isinstance(made, Exclusion):
                self.run.exclusions.append(made)
            else:
                self.output.append(made)
                if (growing := self.run.growing.get(self.output.path.name)) is not None:
                    growing.grew()


async def run_stage(
    stage: StageWork,
    items: Callable[[], Iterable[_Item]],
    is_done: Callable[[_Item], bool],
    *steps: Step,
    source: RecordFile[Any] | None = None,
) -> StageResult:
    """Do the steps on every item that is not done, with progress; record the stage even if it fails.

    Args:
        stage: the stage.
        items: returns the items, in the same order each time.
        is_done: True for an item whose records exist.
        steps: at least one. Each is done on all items before the next one begins, so that only one model is
            loaded at a time; all but the last leave their answers in the request cache. Records are stored as
            they come, so those before a failure are kept.
        source: the file that has the items. While another stage still appends to it (`Run.growing`), they are
            taken from there as they come.
    """
    assert steps, "a stage has at least one step"
    growing = source is not None and source.path.name in stage.run.growing
    if not growing and stage.run.is_complete(stage.name):
        return stage.recorded()
    with ExitStack() as stack:
        if len(steps) > 1:
            stack.enter_context(stage.engines.cache.unbounded())
        for step in steps:
            result = await _run_step(stage, items, is_done, step, source)
    stage.run.note_complete(stage.name)
    return result


async def _run_step(
    stage: StageWork,
    items: Callable[[], Iterable[_Item]],
    is_done: Callable[[_Item], bool],
    step: Step,
    source: RecordFile[Any] | None,
) -> StageResult:
    started = time.monotonic()
    if step.kept is not None:
        stage.engines.keep(*step.kept)
    stage.engines.take_counts()
    stage.run.forget_failures(stage.name)
    growing = None if source is None else stage.run.growing.get(source.path.name)
    total, owed = 0, 0
    for item in items() if growing is None else ():
        total, owed = total + 1, owed + (not is_done(item))
    try:
        with progress(stage.title or stage.name, total, done=total - owed) as task:

            async def guarded(item: _Item) -> None:
                await stage.do(step, item)
                task.advance()

            async def arriving() -> AsyncIterator[_Item]:
                assert growing is not None
                assert source is not None
                async for item in growing.records(source):
                    task.expect()
                    if is_done(item):
                        task.advance()
                    else:
                        yield item

            pending = (item for item in items() if not is_done(item))
            async with live_note(task, stage.engines, started):
                await for_each(pending if growing is None else arriving(), guarded, stage.engines.at_once)
    finally:
        stage.output.sync()
        counts, seconds = stage.engines.take_counts(), time.monotonic() - started
        stage.run.record_stage(stage.name, len(stage.output), counts, seconds)
    excluded = stage.run.excluded(stage.name)
    return StageResult(stage.name, len(stage.output), excluded, counts, seconds)


@asynccontextmanager
async def live_note(task: ProgressTask, engines: Engines, started: float) -> AsyncIterator[None]:
    """Refresh the numbers in the progress line every second, even while no item completes.

    Tokens are counted while they are drawn, where an engine tells; others count with their answers.
    """
    silence = Silence()
    drawn, answered = engines.drawn_tokens(), engines.counts().completion_tokens

    def show() -> None:
        counts = engines.counts()
        # An engine in another process may report late.
        tokens = max(engines.drawn_tokens() - drawn, counts.completion_tokens - answered)
        per_s = tokens / (time.monotonic() - started)
        rate = f"{tokens:,} tokens, {per_s:,.0f} tokens/s" if tokens else ""
        asked = counts.summary() if counts.total else _first(engines)
        parts = (rate, asked, engines.server_state())
        waiting = silence.in_words(*engines.stuck(), engines.patience_s())
        task.note(", ".join(part for part in parts if part) + waiting)

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


def _first(engines: Engines) -> str:
    """Return how many requests were sent while none is answered, as while a model loads; else nothing."""
    count, _ = engines.stuck()
    return f"{counted(count, 'request')} sent, none answered yet" if count else ""


@dataclass
class Silence:
    """The silences of the engines: one is worth a word if it is much longer than those before it."""

    longest_s: float = 0.0
    """The longest silence that ended with progress."""
    last_s: float = 0.0

    def in_words(self, count: int, quiet_s: float, limit_s: float | None) -> str:
        """Return how many requests wait for a model that is unusually long silent; else nothing.

        Args:
            count: number of requests that wait.
            quiet_s: seconds since the model's last progress.
            limit_s: seconds of silence after which they fail; None if they never do.
        """
        if quiet_s < self.last_s:
            self.longest_s = max(self.longest_s, self.last_s)
        self.last_s = quiet_s
        if quiet_s < max(_QUIET_S, _UNUSUAL * self.longest_s):
            return ""
        waiting = "1 request waits" if count == 1 else f"{count:,} requests wait"
        fail = "it fails" if count == 1 else "they fail"
        end = "" if limit_s is None else f"; {fail} after {limit_s:,.0f} s (engine.request_timeout_s)"
        return f", {waiting}: the model has answered none for {quiet_s:.0f} s{end}"


def prompts_of(run: Run, splits: set[Split]) -> Iterator[Prompt]:
    """Yield the run's prompts in the given splits, without those held out to choose a checkpoint by."""
    held_out = run.config.choose is not None
    return run.narrow(p for p in run.prompts if p.split in splits and not (held_out and run.is_validation(p)))


def evaluated_prompts(run: Run) -> list[Prompt]:
    """Return the held-out prompts that the evaluation answers: all, or those that `eval.prompts` chooses.

    A smaller limit chooses a part of a larger one, whatever the order of the file. The others are excluded.
    """
    prompts, limit = list(prompts_of(run, {"test"})), run.config.eval.prompts
    if limit is None:
        return prompts
    beyond = {prompt.id for prompt in sorted(prompts, key=lambda prompt: prompt.id)[limit:]}
    for prompt_id in sorted(beyond):
        run.exclude("eval", prompt_id, "beyond eval.prompts")
    return [prompt for prompt in prompts if prompt.id not in beyond]


def validation_prompts(run: Run) -> list[Prompt]:
    """Return the prompts that checkpoints are compared on, by id: none of them is a test prompt.

    They are held out from all other stages if the run has a section `choose`.
    """
    return sorted((p for p in run.prompts if run.is_validation(p)), key=lambda prompt: prompt.id)


def parse_stage(name: str) -> Stage:
    """Return the stage with this name. Raises ConfigError, which lists all stages, if there is none."""
    for stage in STAGES:
        if stage == name:
            return stage
    raise ConfigError(f"unknown stage {name!r}", where="--only", accepted=", ".join(STAGES))
