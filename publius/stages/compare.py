"""The compare stage: build comparisons from revisions, from scored samples, or from new answers.

The stage can be interrupted at any point and run again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.notices import note
from core.records import Comparison, CritiqueTrace, Generation, Prompt, Split
from critique.comparisons import (
    NO_DIFFERENCE,
    best_against_worst,
    draft_against_revision,
    pair_answers,
    sample,
    sample_prompted,
)
from critique.scoring import ALL_PASS, AnswerScorer
from engines.cached import CachedEngine
from evaluation.prompted import prompted_turns
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.stages.base import StageResult, StageWork, prompts_of, require_stage, run_stage
from publius.stages.scoring import scorer_of


async def compare_stage(run: Run, engines: Engines) -> StageResult:
    """Build the comparisons from the critique traces, the scored samples, or new answers of the policy."""
    source = run.config.compare.source
    if source == "revisions":
        return await _compare_revisions(run, engines)
    if source == "samples":
        return await _compare_scored(run, engines)
    if source != "sft":
        return await compare_answers(run, engines, None)
    require_stage(run, "sft")
    if run.adapter("sft") is None:
        note("compare: SFT had nothing to learn from, so the answers are those of the untrained policy")
    return await compare_answers(run, engines, run.adapter("sft"))


async def compare_answers(run: Run, engines: Engines, adapter: Path | None, title: str = "") -> StageResult:
    """Sample answers from the policy, with a trained adapter or as configured, and pair them.

    Args:
        run: the run, whose preference prompts are answered or, without any, the training prompts.
        engines: its engines.
        adapter: folder of the training whose model answers; None for the policy as configured.
        title: label of the progress line, if not the stage's name.
    """
    stage = StageWork(run, engines, "compare", run.comparisons, title)
    answers = _Answers.of(run, engines, engines.policy_with(adapter))
    splits = compared_splits(run)
    # A prompt is never known to be done: the process may have been killed between two of its comparisons.
    # Repeating it is cheap: the answers come from the cache, and `append` skips comparisons that exist.
    if answers.together:
        result = await run_stage(
            stage, lambda: prompts_of(run, splits), lambda prompt: False, answers.compare
        )
        return _with_advice(run, result)
    # Only one model is loaded at a time: all answers are written first, and then found in the cache.
    with engines.cache.unbounded():
        engines.keep(answers.policy)
        await run_stage(stage, lambda: prompts_of(run, splits), lambda prompt: False, answers.draw)
        engines.keep(engines.of("labeler"))
        result = await run_stage(
            stage, lambda: prompts_of(run, splits), lambda prompt: False, answers.compare
        )
    return _with_advice(run, result)


def compared_splits(run: Run) -> set[Split]:
    """Return the split of the prompts whose answers are compared: preference, or train if it is empty."""
    has_own = any(prompt.split == "preference" for prompt in run.prompts)
    return {"preference"} if has_own else {"train"}


async def _compare_revisions(run: Run, engines: Engines) -> StageResult:
    require_stage(run, "critique")
    stage = StageWork(run, engines, "compare", run.comparisons)

    async def pair(trace: CritiqueTrace) -> None:
        _keep(run, draft_against_revision(trace), trace.prompt.id)

    result = await run_stage(
        stage, run.traces.sorted, lambda trace: run.comparisons.has_children(trace.prompt.id), pair
    )
    return _with_advice(run, result)


async def _compare_scored(run: Run, engines: Engines) -> StageResult:
    """Pair the answers of the sample stage; a prompt without any is excluded there already."""
    require_stage(run, "sample")
    stage = StageWork(run, engines, "compare", run.comparisons)
    config = run.config.compare

    async def pair(prompt: Prompt) -> None:
        answers = sorted(run.samples.children(prompt.id), key=lambda answer: answer.origin)
        if config.pairs == "best_worst":
            _keep(run, best_against_worst(prompt, answers, config), prompt.id)
        else:
            _keep_all(run, prompt, {answer.origin: answer.answer for answer in answers})

    def sampled() -> Iterable[Prompt]:
        prompts = prompts_of(run, set(run.config.sample.splits))
        return (prompt for prompt in prompts if run.samples.has_children(prompt.id))

    return _with_advice(run, await run_stage(stage, sampled, lambda prompt: False, pair))


@dataclass(frozen=True)
class _Answers:
    """Samples the answers to a prompt and compares them."""

    run: Run
    policy: CachedEngine
    scorer: AnswerScorer | None
    """Scores the answers, if the best is compared with the worst."""
    together: bool
    """True if the policy and the labeler that scores can be loaded at once."""

    @classmethod
    def of(cls, run: Run, engines: Engines, policy: CachedEngine) -> _Answers:
        config = run.config
        scored = config.compare.pairs == "best_worst"
        scorer = scorer_of(run, engines, judge=config.sample.judge) if scored else None
        labeler = engines.of("labeler") if scorer is not None and scorer.labeler is not None else None
        together = labeler is None or engines.fit_together("policy", "labeler")
        engines.keep(policy, *([labeler] if labeler is not None and together else []))
        return cls(run, policy, scorer, together)

    async def draw(self, prompt: Prompt) -> None:
        """Sample the answers, so that they are in the cache."""
        await self._sampled(prompt)

    async def compare(self, prompt: Prompt) -> None:
        """Sample the answers and record their comparisons."""
        answers = await self._sampled(prompt)
        if isinstance(answers, str):
            self.run.exclude("compare", prompt.id, answers)
        elif self.scorer is None:
            _keep_all(self.run, prompt, answers)
        else:
            scored = [await self.scorer.score(prompt, answer, origin) for origin, answer in answers.items()]
            found = [answer for answer in scored if answer is not None]
            none = "no principle that gives a score applies to the prompt"
            outcome = best_against_worst(prompt, found, self.run.config.compare) if found else none
            _keep(self.run, outcome, prompt.id)

    async def _sampled(self, prompt: Prompt) -> dict[str, Generation] | str:
        """Return the answers by origin, or the reason why there are none."""
        run, config = self.run, self.run.config.compare
        if config.source != "prompted":
            samples = await sample(self.policy, prompt, config, run.config.seed)
            return {f"sample:{k}": generation for k, generation in enumerate(samples)}
        turns = prompted_turns(prompt, run.constitution, run.templates)
        if turns[0].role != "system" or turns[0].text == prompt.messages[0].content:
            return "no principle applies to the prompt"
        return await sample_prompted(self.policy, prompt, turns, config, run.config.seed)


def _keep_all(run: Run, prompt: Prompt, answers: dict[str, Generation]) -> None:
    for number, outcome in enumerate(pair_answers(prompt, answers, run.config.compare)):
        _keep(run, outcome, prompt.id, f"pair {number}")


def _keep(run: Run, outcome: Comparison | str, prompt_id: str, detail: str = "") -> None:
    if isinstance(outcome, Comparison):
        run.comparisons.append(outcome)
    else:
        run.exclude("compare", prompt_id, outcome, detail)


def _with_advice(run: Run, result: StageResult) -> StageResult:
    """Return the result with advice if no two answers differ, which is no failure of the stage."""
    advice = None
    if not result.records and not NO_DIFFERENCE.isdisjoint(result.excluded):
        # Other prompts may be too long, or have no principle that applies: the stage has not failed.
        reasons = NO_DIFFERENCE & set(result.excluded)
        done = "every answer passes already, so no pair can teach more"
        advice = done if reasons == {ALL_PASS} else f"no two answers differ; {_remedy(run)}"
    result.advice = run.note_advice("compare", advice)
    return result


def _remedy(run: Run) -> str:
    compare = run.config.compare
    if compare.source == "revisions":
        return "raise critique.rounds or its max_new_tokens, or compare samples (compare.from=samples)"
    if compare.source == "samples":
        return "see what the sample stage advises"
    return (
        f"raise compare.samples (now {compare.samples}) or compare.sampling.temperature (now "
        f"{compare.sampling.temperature:g}), or compare scored samples (compare.from=samples)"
    )
