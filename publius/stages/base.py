"""The parts that all stages share: progress, request counts, results and exclusions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from core.concurrency import for_each
from core.errors import ConfigError, RequestError, RunStateError
from core.progress import ProgressTask, progress
from core.records import Prompt, Split
from core.store.record_store import RecordFile
from engines.cached import RequestCounts
from publius.runs.engines import Engines, conversations
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

COMMANDS: dict[Stage, str] = {
    stage: f"publius train {stage}" if stage in METHODS else f"publius {stage}" for stage in STAGES
} | {"choose": "publius run --only choose"}
"""The command that runs each stage on its own."""

_REFRESH_S = 1.0
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
    if before not in run.manifest["stages"]:
        raise RunStateError(
            f"the stage {before} has not run yet",
            where=str(run.folder),
            run=f"{COMMANDS[before]} RUN.yaml, or publius run RUN.yaml for all stages",
        )


@dataclass(frozen=True)
class StageWork:
    """The run, engines, name and output file of a stage that sends requests to engines."""

    run: Run
    engines: Engines
    name: Stage
    output: RecordFile[Any]
    title: str = ""
    """Label of the progress line, if not the name."""


async def run_stage(
    stage: StageWork,
    items: Callable[[], Iterable[_Item]],
    is_done: Callable[[_Item], bool],
    work: Callable[[_Item], Awaitable[None]],
) -> StageResult:
    """Do the work on every item that is not done, with progress; record the stage even if it fails."""
    started = time.monotonic()
    stage.engines.take_counts()
    stage.run.forget_failures(stage.name)
    total, owed = 0, 0
    for item in items():
        total, owed = total + 1, owed + (not is_done(item))
    try:
        with progress(stage.title or stage.name, total, done=total - owed) as task:

            async def guarded(item: _Item) -> None:
                try:
                    await work(item)
                except RequestError as error:
                    stage.run.leave_out(stage.name, item.id, error)
                task.advance()

            pending = (item for item in items() if not is_done(item))
            async with live_note(task, stage.engines, started):
                await for_each(pending, guarded, conversations(stage.run.config.engine))
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
    drawn, answered = engines.drawn_tokens(), engines.counts().completion_tokens

    def show() -> None:
        counts = engines.counts()
        # An engine in another process may report late.
        tokens = max(engines.drawn_tokens() - drawn, counts.completion_tokens - answered)
        per_s = tokens / (time.monotonic() - started)
        parts = (f"{tokens:,} tokens", f"{per_s:,.0f} tokens/s", counts.summary(), engines.server_state())
        task.note(", ".join(part for part in parts if part) + _waiting(engines))

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


def _waiting(engines: Engines) -> str:
    """Return how many requests wait for a model that does nothing, and for how long; else nothing."""
    count, quiet_s = engines.stuck()
    if quiet_s < _QUIET_S:
        return ""
    waiting = "1 request waits" if count == 1 else f"{count:,} requests wait"
    return f", {waiting} for over {quiet_s:.0f} s without progress (engine.request_timeout_s)"


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
