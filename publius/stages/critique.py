"""The critique stage: write a draft, critiques and revisions for every training prompt."""

from __future__ import annotations

from core.records import Prompt, Split
from critique.loop import CritiqueLoop
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.stages.base import StageResult, StageWork, prompts_of, run_stage


async def critique_stage(run: Run, engines: Engines) -> StageResult:
    """Draft, critique and revise an answer to every training prompt that has no trace yet."""
    splits: set[Split] = {"train", "preference"} if run.config.compare.source == "revisions" else {"train"}
    policy, critic = engines.of("policy"), engines.of("critic")
    loop = CritiqueLoop(run.constitution, policy, critic, run.config.critique, run.config.seed, run.templates)
    stage = StageWork(run, engines, "critique", run.traces)

    def is_done(prompt: Prompt) -> bool:
        return run.traces.has_children(prompt.id)

    async def draft(prompt: Prompt) -> None:
        await loop.draft(prompt)

    async def work(prompt: Prompt) -> None:
        run.traces.append(await loop.trace(prompt))

    if not engines.fit_together("policy", "critic"):
        # Only one model is loaded at a time: all drafts are written first, and the loop then finds them in
        # the cache.
        engines.keep(policy)
        await run_stage(stage, lambda: prompts_of(run, splits), is_done, draft)
        engines.keep(critic)
    else:
        engines.keep(policy, critic)
    return await run_stage(stage, lambda: prompts_of(run, splits), is_done, work)
