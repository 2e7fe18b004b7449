"""The compare stage: build comparisons from revisions or from sampled answers.

The stage can be interrupted at any point and run again.
"""

from __future__ import annotations

from core.records import Comparison, CritiqueTrace, Prompt, Split
from critique.comparisons import draft_against_revision, pair_samples, sample
from engines.cached import CachedEngine
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.stages.base import StageResult, StageWork, prompts_of, require_stage, run_stage


async def compare_stage(run: Run, engines: Engines) -> StageResult:
    """Build the comparisons from the critique traces, or from new samples of the policy."""
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

    # A prompt is never known to be done: the process may have been killed between two of its comparisons.
    # Repeating it is cheap: the answers come from the cache, and `append` skips comparisons that exist.
    return await run_stage(stage, lambda: prompts_of(run, splits), lambda prompt: False, draw)


def _sampled_policy(run: Run, engines: Engines) -> CachedEngine:
    """Return the engine whose answers are compared, and close all other engines."""
    if run.config.compare.source == "sft":
        require_stage(run, "sft")
    adapter = run.adapter("sft") if run.config.compare.source == "sft" else None
    policy = engines.policy_with(adapter)
    engines.keep(policy)
    return policy


def _keep(run: Run, outcome: Comparison | str, prompt_id: str, detail: str = "") -> None:
    if isinstance(outcome, Comparison):
        run.comparisons.append(outcome)
    else:
        run.exclude("compare", prompt_id, outcome, detail)
