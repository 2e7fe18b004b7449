"""Stages that overlap: comparisons are built and labelled while other prompts are still being answered.

Only where it makes a run shorter and changes nothing else: the labeler is not the engine of policy or critic,
and works at the same time as they do, such as a server or a model on GPUs of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from core.concurrency import all_or_none
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.runs.parts.growing import GrowingFile
from publius.stages.base import Stage, StageResult

_GROUPS: Sequence[tuple[Stage, ...]] = (("critique", "compare", "label"), ("compare", "label"))
_OUTPUT: dict[Stage, str] = {"critique": "traces.jsonl", "compare": "comparisons.jsonl"}


def overlapping(run: Run, engines: Engines, stages: Sequence[Stage], first: Stage) -> tuple[Stage, ...]:
    """Return the stages that run at the same time as `first`, in order, with itself; often it alone.

    Args:
        run: the run.
        engines: its engines.
        stages: all stages of the command.
        first: the stage whose turn it is.
    """
    here = stages.index(first)
    for group in _GROUPS:
        if tuple(stages[here : here + len(group)]) == group and _may_overlap(run, engines, group):
            return group
    return (first,)


async def run_overlapping(
    group: Sequence[Stage],
    run: Run,
    engines: Engines,
    run_one: Callable[[Stage, Run, Engines], Awaitable[StageResult]],
) -> list[StageResult]:
    """Run the stages of a group at the same time; return their results. The first failure ends all.

    Records, files and what a resume does are those of the stages one after the other.
    """
    if len(group) == 1:
        return [await run_one(group[0], run, engines)]
    labeler = engines.of("labeler")
    growing = {stage: GrowingFile() for stage in group if stage in _OUTPUT}

    async def run_part(stage: Stage) -> StageResult:
        used = {group[0]: lambda engine: engine is not labeler, "label": lambda engine: engine is labeler}
        part = engines.part(used.get(stage, lambda engine: False))
        try:
            return await run_one(stage, run, part)
        finally:
            if stage in growing:
                growing[stage].end()

    run.growing = {_OUTPUT[stage]: growing[stage] for stage in growing}
    run.under_way = frozenset(group)
    try:
        return await all_or_none(run_part(stage) for stage in group)
    finally:
        run.growing, run.under_way = {}, frozenset()


def _may_overlap(run: Run, engines: Engines, group: Sequence[Stage]) -> bool:
    """Return True if the labeler works beside policy and critic, and no stage needs all records at once."""
    config = run.config
    if engines.fleet is not None or run.deadline is not None:
        return False
    if config.label.humans or not config.label.principles:
        return False
    if config.critique.judge or config.compare.pairs == "best_worst":
        return False  # the labeler is asked before its own stage
    if (config.compare.source == "revisions") != (group[0] == "critique"):
        return False
    labeler = engines.of("labeler")
    return all(
        not engines.share_model(labeler, engines.of(role)) and engines.fit_together("labeler", role)
        for role in ("policy", "critic")
    )
