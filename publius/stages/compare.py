"""One function per stage: critique, compare. Each can be interrupted anywhere and run again."""

from __future__ import annotations

from core.records import Comparison, CritiqueTrace, Prompt, Split
from critique.comparisons import draft_against_revision, pair_samples, sample
from critique.loop import CritiqueLoop
from engines.cached import CachedEngine, RequestCounts
from prompts.sources import admissions, read_prompts
from publius.run.engines import Engines
from publius.run.folder import Run
from publius.stages.base import StageResult, StageWork, prompts_of, require_stage, run_stage


def ingest_prompts(run: Run) -> None:
    """Copy the prompts file into the run, each prompt with its split; duplicates are counted out.

    The whole file is read and checked before any model is asked.
    """
    if "prompts" in run.manifest["stages"]:
        return
    config = run.config
    for _ in read_prompts(config.prompts.path):
        pass  # a mistake in the last line is told before the first prompt is taken in
    for prompt, reason, detail in admissions(
        config.prompts.path, config.split.shares(), config.prompts.limit
    ):
        if reason:
            run.exclude("prompts", prompt.id, reason, detail)
        else:
            run.prompts.append(prompt)
    run.prompts.sync()
    run.record_stage("prompts", len(run.prompts), RequestCounts(), 0.0)


async def critique_stage(run: Run, engines: Engines) -> StageResult:
    """Draft, criticise and revise an answer to every training prompt that has no trace yet."""
    splits: set[Split] = {"train", "preference"} if run.config.compare.source == "revisions" else {"train"}
    policy, critic = engines.of("policy"), engines.of("critic")
    loop = CritiqueLoop(run.constitution, run.templates, run.config.critique, policy, critic, run.config.seed)
    stage = StageWork(run, engines, "critique", run.traces)

    def is_done(prompt: Prompt) -> bool:
        return run.traces.has_children(prompt.id)

    async def draft(prompt: Prompt) -> None:
        await loop.draft(prompt)

    async def work(prompt: Prompt) -> None:
        run.traces.append(await loop.trace(prompt))

    if run.config.engine.kind == "vllm" and policy is not critic:
        # One model at a time: all drafts are written first, and the loop then finds them in the cache.
        engines.keep(policy)
        await run_stage(stage, lambda: prompts_of(run, splits), is_done, draft)
        engines.keep(critic)
    else:
        engines.keep(policy, critic)
    return await run_stage(stage, lambda: prompts_of(run, splits), is_done, work)


async def compare_stage(run: Run, engines: Engines) -> StageResult:
    """Make the comparisons: from the traces, or from fresh samples of the policy."""
    if run.config.compare.source == "revisions":
        require_stage(run, "critique")
    stage = StageWork(run, engines, "compare", run.comparisons)
    if run.config.compare.source == "revisions":

        async def pair(trace: CritiqueTrace) -> None:
            _keep(run, draft_against_revision(trace), trace.prompt.id)

        return await run_stage(
            stage, run.traces.sorted, lambda trace: run.comparisons.has_children(trace.prompt.id), pair
        )

    config = run.config.compare
    policy = _sampled_policy(run, engines)
    has_own = any(prompt.split == "preference" for prompt in run.prompts)
    splits: set[Split] = {"preference"} if has_own else {"train"}

    async def draw(prompt: Prompt) -> None:
        samples = await sample(policy, prompt, config, run.config.seed)
        for number, outcome in enumerate(pair_samples(prompt, samples, config)):
            _keep(run, outcome, prompt.id, f"pair {number}")

    # A prompt is never done for certain: a kill may have come between two of its comparisons. Answers that
    # were given are in the cache, and comparisons that were written are not doubled.
    return await run_stage(stage, lambda: prompts_of(run, splits), lambda prompt: False, draw)


def _sampled_policy(run: Run, engines: Engines) -> CachedEngine:
    """Return the engine whose answers are compared, with no other model loaded."""
    if run.config.compare.source == "sft":
        require_stage(run, "sft")
    adapter = run.adapter("sft") if run.config.compare.source == "sft" else None
    policy = engines.of("policy") if adapter is None else engines.wearing(adapter)
    engines.keep(policy)
    return policy


def _keep(run: Run, outcome: Comparison | str, prompt_id: str, detail: str = "") -> None:
    if isinstance(outcome, Comparison):
        run.comparisons.append(outcome)
    else:
        run.exclude("compare", prompt_id, outcome, detail)
