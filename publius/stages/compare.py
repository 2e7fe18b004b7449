"""The compare stage: build comparisons from revisions, from scored samples, or from new answers.

The stage can be interrupted at any point and run again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.notices import counted, note, warn
from core.records import Comparison, CritiqueTrace, Exclusion, Generation, Prompt, Record, Split
from critique.comparisons import (
    NO_DIFFERENCE,
    best_against_worst,
    draft_against_revision,
    pair_answers,
    sample,
    sample_prompted,
)
from critique.config import CompareConfig
from critique.scoring import ALL_PASS, AnswerScorer
from engines.cached import CachedEngine
from evaluation.prompted import prompted_turns
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.runs.pairs.unpaired import UNPAIRED, unpaired_prompts, unused_for_pairs
from publius.stages.base import HERE, Made, StageResult, StageWork, Step, prompts_of, require_stage, run_stage
from publius.stages.critique import critiqued_splits
from publius.stages.scoring import scorer_of

FEW_COMPARED = "few_pairs"
"""Field of the stage's entry in the manifest: what to do if few prompts have a comparison."""
_MANY_WITHOUT = 3
"""Prompts without a comparison for each comparison from which on there are few."""
AT = "@"
"""Between the name of a step and the folder of the adapter that answers."""


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
    steps = compare_steps(run, engines, adapter)
    splits = compared_splits(run)
    # A prompt is never known to be done: the process may have been killed between two of its comparisons.
    # Repeating it is cheap: the answers come from the cache, and `append` skips comparisons that exist.
    result = await run_stage(stage, lambda: prompts_of(run, splits), lambda prompt: False, *steps)
    return _with_advice(run, result)


def compare_steps(run: Run, engines: Engines, adapter: Path | None) -> tuple[Step, ...]:
    """Return the steps of the stage where it asks the policy.

    There are two if the policy and the labeler that scores cannot be loaded at once: all answers are written
    first, and then found in the cache.

    Args:
        run: the run.
        engines: its engines.
        adapter: folder of the training whose model answers; None for the policy as configured.
    """
    config, policy = run.config, engines.policy_with(adapter)
    scored = config.compare.pairs == "best_worst"
    scorer = scorer_of(run, engines, judge=config.sample.judge) if scored else None
    answers, at = _Answers(run, policy, scorer), "" if adapter is None else f"{AT}{adapter}"
    if scorer is None or scorer.labeler is None:
        return (Step(f"compare.answers{at}", (policy,), answers.compare),)
    labeler = engines.of("labeler")
    if engines.fit_together("policy", "labeler"):
        return (Step(f"compare.answers{at}", (policy, labeler), answers.compare),)
    return (
        Step(f"compare.draw{at}", (policy,), answers.draw),
        Step(f"compare.answers{at}", (labeler,), answers.compare),
    )


def compared_splits(run: Run) -> set[Split]:
    """Return the split of the prompts whose answers are compared: preference, or train if it is empty."""
    has_own = any(prompt.split == "preference" for prompt in run.prompts)
    return {"preference"} if has_own else {"train"}


def paired_splits(run: Run) -> set[Split]:
    """Return the splits of the prompts of which the run compares answers, whatever their source."""
    source = run.config.compare.source
    if source == "samples":
        return set(run.config.sample.splits)
    return critiqued_splits(run) if source == "revisions" else compared_splits(run)


def warn_of_unpaired(run: Run) -> None:
    """Print a warning about prompts that give no pairs although nothing that the run trains needs them."""
    if (line := unused_for_pairs(run, paired_splits(run))) is not None:
        warn(f"compare.from {run.config.compare.source}: {line}")


async def _compare_revisions(run: Run, engines: Engines) -> StageResult:
    require_stage(run, "critique")
    stage = StageWork(run, engines, "compare", run.comparisons)

    async def pair(trace: CritiqueTrace) -> AsyncIterator[Made]:
        yield _recorded(draft_against_revision(trace), trace.prompt.id)

    def is_done(trace: CritiqueTrace) -> bool:
        return run.comparisons.has_children(trace.prompt.id)

    result = await run_stage(stage, run.traces.sorted, is_done, Step(HERE, None, pair), source=run.traces)
    return _with_advice(run, result)


async def _compare_scored(run: Run, engines: Engines) -> StageResult:
    """Pair the answers of the sample stage; a prompt without any is excluded there already."""
    require_stage(run, "sample")
    stage = StageWork(run, engines, "compare", run.comparisons)
    config = run.config.compare

    async def pair(prompt: Prompt) -> AsyncIterator[Made]:
        answers = sorted(run.samples.children(prompt.id), key=lambda answer: answer.origin)
        if config.pairs == "best_worst":
            yield _recorded(best_against_worst(prompt, answers, config), prompt.id)
            return
        for made in _paired(prompt, {answer.origin: answer.answer for answer in answers}, config):
            yield made

    def sampled() -> Iterable[Prompt]:
        prompts = prompts_of(run, set(run.config.sample.splits))
        return (prompt for prompt in prompts if run.samples.has_children(prompt.id))

    step = Step(HERE, None, pair)
    return _with_advice(run, await run_stage(stage, sampled, lambda prompt: False, step))


@dataclass(frozen=True)
class _Answers:
    """Samples the answers to a prompt and compares them."""

    run: Run
    policy: CachedEngine
    scorer: AnswerScorer | None
    """Scores the answers, if the best is compared with the worst."""

    async def draw(self, prompt: Prompt) -> AsyncIterator[Made]:
        """Sample the answers, so that they are in the cache; yield nothing."""
        await self._sampled(prompt)
        return
        yield

    async def compare(self, prompt: Prompt) -> AsyncIterator[Made]:
        """Sample the answers and yield their comparisons."""
        answers = await self._sampled(prompt)
        if isinstance(answers, str):
            yield _recorded(answers, prompt.id)
        elif self.scorer is None:
            for made in _paired(prompt, answers, self.run.config.compare):
                yield made
        else:
            scored = [await self.scorer.score(prompt, answer, origin) for origin, answer in answers.items()]
            found = [answer for answer in scored if answer is not None]
            none = "no principle that gives a score applies to the prompt"
            outcome = best_against_worst(prompt, found, self.run.config.compare) if found else none
            yield _recorded(outcome, prompt.id)

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


def _paired(prompt: Prompt, answers: dict[str, Generation], config: CompareConfig) -> Iterator[Record]:
    for number, outcome in enumerate(pair_answers(prompt, answers, config)):
        yield _recorded(outcome, prompt.id, f"pair {number}")


def _recorded(outcome: Comparison | str, prompt_id: str, detail: str = "") -> Record:
    """Return a comparison as it is, and the reason why there is none as the exclusion of the prompt."""
    if isinstance(outcome, Comparison):
        return outcome
    return Exclusion.of("compare", prompt_id, outcome, detail)


def _with_advice(run: Run, result: StageResult) -> StageResult:
    """Return the result with advice if no two answers differ, which is no failure of the stage."""
    advice = None
    if not result.records and not NO_DIFFERENCE.isdisjoint(result.excluded):
        # Other prompts may be too long, or have no principle that applies: the stage has not failed.
        reasons = NO_DIFFERENCE & set(result.excluded)
        done = "every answer passes already, so no pair can teach more"
        advice = done if reasons == {ALL_PASS} else f"no two answers differ; {_remedy(run)}"
    result.advice = run.note_advice("compare", advice)
    run.note_result("compare", FEW_COMPARED, _few(run, result))
    run.note_result("compare", UNPAIRED, unpaired_prompts(run, paired_splits(run)) or None)
    return result


def _few(run: Run, result: StageResult) -> str | None:
    """Return what to do if few prompts have a comparison; None if enough do, or none, which is advised on."""
    without = sum(result.excluded.get(reason, 0) for reason in NO_DIFFERENCE - {ALL_PASS})
    if not result.records or without < _MANY_WITHOUT * result.records:
        return None
    return f"{counted(result.records, 'pair')}, and none from {counted(without, 'prompt')}: {more_pairs(run)}"


def more_pairs(run: Run) -> str:
    """Return which comparisons have more pairs than those of a run, as advice."""
    if run.config.compare.source == "revisions":
        return (
            "answers with your rules against answers without (--set compare.from=prompted) or scored samples "
            "(--set compare.from=samples) have more; each makes a new run folder"
        )
    return _remedy(run)


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
