"""The critique stage: write a draft, critiques and revisions for every training prompt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from constitution.schema import Constitution
from core.errors import ConfigError
from core.records import Prompt, Split
from critique.loop import CritiqueLoop, LoopRules
from critique.requests import needs_beginning
from critique.statistics import LoopStatistics
from prompts.environment import PromptTemplates
from publius.config.run_file import RunConfig
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.runs.opening.rules import loop_rules_of
from publius.stages.base import Made, StageResult, StageWork, Step, prompts_of, run_stage
from publius.stages.scoring import scorer_for


async def critique_stage(run: Run, engines: Engines) -> StageResult:
    """Draft, critique and revise an answer to every training prompt that has no trace yet."""
    stage = StageWork(run, engines, "critique", run.traces)
    splits = critiqued_splits(run)

    def is_done(prompt: Prompt) -> bool:
        return run.traces.has_children(prompt.id)

    steps = critique_steps(run, engines)
    result = await run_stage(stage, lambda: prompts_of(run, splits), is_done, *steps)
    _note_statistics(run)
    return result


def critiqued_splits(run: Run) -> set[Split]:
    """Return the splits of the prompts whose answers are revised."""
    return {"train", "preference"} if run.config.compare.source == "revisions" else {"train"}


def critique_steps(run: Run, engines: Engines) -> tuple[Step, ...]:
    """Return the steps of the stage: the loop or, if policy and critic cannot be loaded at once, two steps.

    All drafts are written first then, and the loop finds them in the cache.
    """
    loop = loop_of(run, engines)

    async def draft(prompt: Prompt) -> AsyncIterator[Made]:
        await loop.draft(prompt)
        return
        yield

    async def trace(prompt: Prompt) -> AsyncIterator[Made]:
        yield await loop.trace(prompt)

    policy, critic = engines.of("policy"), engines.of("critic")
    judge = [engines.of("labeler")] if loop.scorer is not None and loop.scorer.labeler is not None else []
    fit = engines.fit_together("policy", "critic")
    if fit and (not judge or engines.fit_together("policy", "labeler")):
        return (Step("critique.trace", (policy, critic, *judge), trace),)
    return (
        Step("critique.draft", (policy,), draft),
        Step("critique.trace", (critic, *judge), trace),
    )


def _note_statistics(run: Run) -> None:
    """Record the statistics of the loop in the manifest, unless they are those of all traces already."""
    noted: dict[str, Any] = run.manifest["stages"]["critique"].get("loop", {})
    if noted.get("prompts") == len(run.traces):
        return
    statistics = LoopStatistics(run.constitution, run.config.critique.rounds)
    for trace in run.traces:
        statistics.add(trace)
    run.note_result("critique", "loop", statistics.as_json())


def loop_of(run: Run, engines: Engines) -> CritiqueLoop:
    """Return the critique loop of a run.

    Raises:
        ConfigError: `critique.judge` is set, and critic and labeler cannot be loaded at once.
    """
    return loop_for(run.config, run.constitution, run.templates, engines, loop_rules_of(run.manifest))


def loop_for(
    settings: RunConfig,
    constitution: Constitution,
    templates: PromptTemplates,
    engines: Engines,
    rules: LoopRules = "ranked",
) -> CritiqueLoop:
    """Return the critique loop of a configuration, as `loop_of` does of a run."""
    config = settings.critique
    if config.judge and not engines.fit_together("critic", "labeler"):
        raise ConfigError(
            "the labeler judges revisions while the critic writes them, and both models do not fit at once",
            where="critique.judge",
            accepted="false, one model for both roles, or GPUs of their own (models.ROLE.engine.gpus)",
        )
    return CritiqueLoop(
        constitution,
        engines.of("policy"),
        engines.of("critic"),
        config,
        settings.seed,
        templates,
        scorer_for(settings, constitution, templates, engines, judge=config.judge),
        rules,
        begun=needs_beginning(engines.parameters_of("critic")),
    )
