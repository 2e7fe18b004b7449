"""The sample stage: draw answers, score them, and make one that passes where no draw does.

The stage can be interrupted at any point and run again: finished answers come from the request cache, and
records that exist are not written twice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from core.concurrency import for_each
from core.errors import FailedRequestError, RequestError
from core.notices import counted, note
from core.progress import ProgressTask, progress
from core.records import Exclusion, Prompt, ScoredAnswer
from critique.config import SampleConfig, Way
from critique.scoring import CUT, AnswerScorer, best_and_worst
from critique.teaching import AnswerSampler, Named
from evaluation.prompted import taught_turns
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.stages.base import Made, NotMade, Stage, StageResult, StageWork, Step, live_note, prompts_of
from publius.stages.scoring import scorer_of

SAMPLE = "sample.answers"
"""Name of the step that answers one prompt in all ways."""
_STAGE: Stage = "sample"
_ENOUGH = "not asked, since sample.informative was reached"


async def sample_stage(run: Run, engines: Engines) -> StageResult:
    """Sample and score answers to the prompts until `sample.informative` of them have answers that differ."""
    started, config = time.monotonic(), run.config.sample
    if run.is_complete(_STAGE):
        result = StageWork(run, engines, _STAGE, run.samples).recorded()
        result.advice = run.advice_of(_STAGE)
        return result
    engines.take_counts()
    run.forget_failures(_STAGE)
    sampling = _Sampling.of(run, engines)
    found = Yield()
    total = sum(1 for _ in prompts_of(run, set(config.splits)))
    try:
        with progress(_STAGE, total) as task:
            async with live_note(task, engines, started):
                for batch in _batches(prompts_of(run, set(config.splits)), config.batch):
                    if config.informative is not None and found.informative >= config.informative:
                        _count_unasked(run, batch)
                        continue
                    await _answer(batch, StageWork(run, engines, _STAGE, run.samples), sampling, task)
                    for prompt in batch:
                        found.add(prompt, run)
    finally:
        run.samples.sync()
        counts, seconds = engines.take_counts(), time.monotonic() - started
        run.record_stage(_STAGE, len(run.samples), counts, seconds)
    run.note_result(_STAGE, "yield", found.as_json())
    note(f"sample: {found.line()}; {counts.completion_tokens:,} tokens generated")
    run.note_complete(_STAGE)
    nothing = found.prompts and not found.informative
    advice = run.note_advice(_STAGE, found.advice(config) if nothing else None)
    return StageResult(_STAGE, len(run.samples), run.excluded(_STAGE), counts, seconds, advice)


@dataclass
class Yield:
    """Number of prompts that have a best and a worst answer that differ in score."""

    prompts: int = 0
    informative: int = 0
    passing: int = 0
    """Prompts of which every answer passes."""
    cut: int = 0
    """Prompts of which every answer is empty or cut off."""
    by_way: Counter[str] = field(default_factory=Counter)
    """Informative prompts by the way in which their best answer was made."""

    def add(self, prompt: Prompt, run: Run) -> None:
        """Count a prompt by its answers in the run, and exclude it if they do not differ."""
        answers = list(run.samples.children(prompt.id))
        if not answers:
            return  # it is excluded already
        self.prompts += 1
        outcome = best_and_worst(answers)
        if isinstance(outcome, str):
            self.passing += all(answer.passed for answer in answers)
            self.cut += outcome == CUT
            run.exclude(_STAGE, prompt.id, outcome)
            return
        self.informative += 1
        self.by_way[outcome[0].way] += 1

    def line(self) -> str:
        """Return one line, such as `61 of 96 prompts have answers that differ; 12 by draws, 49 repaired`."""
        ways = {"draw": "by draws", "prompted": "prompted", "begun": "begun", "wide": "by wide draws"}
        parts = [f"{count:,} {ways.get(way, way)}" for way, count in sorted(self.by_way.items())]
        have = "has" if self.informative == 1 else "have"
        text = f"{self.informative:,} of {counted(self.prompts, 'prompt')} {have} answers that differ"
        return "; ".join([text, ", ".join(parts)]) if parts else text

    def advice(self, config: SampleConfig) -> str:
        """Return what to change where no prompt has answers that differ."""
        if self.prompts and self.passing == self.prompts:
            return "every answer passes already, so there is nothing to teach; use a stricter check"
        limit = f"raise sample.sampling.max_new_tokens (now {config.sampling.max_new_tokens:,})"
        if self.cut == self.prompts:
            return f"every answer to every prompt is empty or cut off; {limit}"
        more_tokens = ""
        if self.cut:
            cut = f"of {self.cut:,} of {counted(self.prompts, 'prompt')} every answer is empty or cut off"
            more_tokens = f"; {cut}: {limit}"
        untried = [way for way in SampleConfig().teach if way not in config.teach]
        more = f", add {', '.join(untried)} to sample.teach" if untried else ""
        return (
            f"no prompt has answers that differ in score; raise sample.draws (now {config.draws}){more}, add "
            f"examples to the principles, or use a check that some answer of the model can pass{more_tokens}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as JSON-able values, with the line that shows them."""
        return {
            "prompts": self.prompts,
            "informative": self.informative,
            "by_origin": dict(sorted(self.by_way.items())),
            "line": self.line(),
        }


async def _answer(batch: Sequence[Prompt], stage: StageWork, sampling: _Sampling, task: ProgressTask) -> None:
    """Answer a batch of prompts, here way by way or by the workers of a fleet, and record the answers."""
    fleet = stage.engines.fleet
    if fleet is None or not sampling.together:
        for asked in await sampling.answer(batch, task):
            stage.store(asked.id, asked.made())
        return
    step = _step(sampling)

    async def ask(prompt: Prompt) -> None:
        await stage.do(step, prompt)
        task.advance()

    await for_each(batch, ask, fleet.at_once)


def sample_step(run: Run, engines: Engines) -> Step:
    """Return the step that answers one prompt, for a process that has one loaded model or several."""
    return _step(_Sampling.of(run, engines))


def _step(sampling: _Sampling) -> Step:
    async def answer(prompt: Prompt) -> AsyncIterator[Made]:
        for asked in await sampling.answer([prompt], ProgressTask(_STAGE, None)):
            for made in asked.made():
                yield made

    return Step(SAMPLE, None, answer)


@dataclass
class _Asked:
    """A prompt, and its answers so far."""

    prompt: Prompt
    answers: list[ScoredAnswer] = field(default_factory=list)
    new: list[Named] = field(default_factory=list)
    """Answers that are not scored yet."""
    left_out: list[Made] = field(default_factory=list)
    """Exclusions of its answers, and its requests that failed."""
    failed: bool = False
    """True if a request of it failed; its answers are then not recorded."""

    def made(self) -> Iterator[Made]:
        """Yield what is to be recorded."""
        yield from self.left_out
        yield from () if self.failed else self.answers

    def exclude(self, reason: str, detail: str = "") -> None:
        """Note why the prompt, or the part of it named by `detail`, has no answer."""
        self.left_out.append(Exclusion.of(_STAGE, self.prompt.id, reason, detail))

    @property
    def id(self) -> str:
        """Id of the prompt."""
        return self.prompt.id

    @property
    def is_taught(self) -> bool:
        """True if a finished answer passes."""
        return any(answer.passed and answer.finished for answer in self.answers)


@dataclass(frozen=True)
class _Sampling:
    """Samples and scores the answers to batches of prompts, one way after the other."""

    run: Run
    engines: Engines
    sampler: AnswerSampler
    scorer: AnswerScorer
    together: bool
    """True if policy and labeler can be loaded at once."""

    @classmethod
    def of(cls, run: Run, engines: Engines) -> _Sampling:
        taught = partial(taught_turns, constitution=run.constitution, templates=run.templates)
        policy, config = engines.of("policy"), run.config
        sampler = AnswerSampler(run.constitution, policy, config.sample, config.seed, taught)
        scorer = scorer_of(run, engines, judge=config.sample.judge)
        engines.keep(policy, *([engines.of("labeler")] if scorer.labeler else []))
        together = scorer.labeler is None or engines.fit_together("policy", "labeler")
        return cls(run, engines, sampler, scorer, together)

    async def answer(self, prompts: Sequence[Prompt], task: ProgressTask) -> list[_Asked]:
        """Answer a batch of prompts; return them with their answers."""
        every = [_Asked(prompt) for prompt in prompts]
        batch = []
        for asked in every:
            if self.scorer.applies_to(asked.prompt):
                batch.append(asked)
                continue
            asked.exclude("no principle that gives a score applies to the prompt")
            task.advance()
        await self._step(batch, "draw", lambda asked: self.sampler.draw(asked.prompt))
        owed = self._taken(batch, task)
        for way in self._ways():
            await self._step(owed, way, partial(self._attempt, way))
            owed = self._taken(owed, task)
        task.advance(len(owed))
        return every

    def _ways(self) -> list[Way]:
        """Return the ways to try. With several checks, a second beginning adds what the first one left."""
        teach = list(self.run.config.sample.teach)
        again = [way for way in teach if way in ("begun", "repaired")]
        several = sum(p.check is not None for p in self.run.constitution.steering) > 1
        if several and "begun" in teach:
            after = max(map(teach.index, again)) + 1
            teach[after:after] = again
        return teach

    def _attempt(self, way: Way, asked: _Asked) -> Awaitable[list[Named]]:
        return self.sampler.attempt(way, asked.prompt, asked.answers)

    def _taken(self, batch: Sequence[_Asked], task: ProgressTask) -> list[_Asked]:
        """Advance the progress by the prompts that need no further answers; return the others."""
        owed = [asked for asked in batch if not asked.is_taught and not asked.failed]
        task.advance(len(batch) - len(owed))
        return owed

    async def _step(
        self, batch: Sequence[_Asked], name: str, make: Callable[[_Asked], Awaitable[list[Named]]]
    ) -> None:
        """Add further answers to prompts, with their scores."""

        async def generate(asked: _Asked) -> None:
            asked.new = await make(asked)

        async def score(asked: _Asked) -> None:
            asked.answers += await self._scored(asked)

        if not self.together:
            self.engines.keep(self.engines.of("policy"))
        await self._on_all(batch, generate, name)
        if not self.together:
            self.engines.keep(self.engines.of("labeler"))
        await self._on_all([asked for asked in batch if not asked.failed], score, name)

    async def _on_all(
        self, batch: Iterable[_Asked], work: Callable[[_Asked], Awaitable[None]], name: str
    ) -> None:
        async def guarded(asked: _Asked) -> None:
            try:
                await work(asked)
            except RequestError as error:
                # A way that cannot be used for a prompt leaves its draws; a failure of the engine leaves the
                # whole prompt for the next start, so that what is tried does not depend on it.
                asked.failed = not asked.answers or isinstance(error, FailedRequestError)
                asked.left_out.append(NotMade(error, "" if asked.failed else name))

        await for_each(batch, guarded, self.engines.at_once)

    async def _scored(self, asked: _Asked) -> list[ScoredAnswer]:
        """Return the new answers with their scores; empty ones and those without a score are excluded."""
        found: list[ScoredAnswer] = []
        for origin, answer, begun in asked.new:
            scored = await self.scorer.score(asked.prompt, answer, origin, begun) if answer.text else None
            if scored is None:
                reason = "an answer has no score" if answer.text else "an answer is empty"
                asked.exclude(reason, origin)
                continue
            found.append(scored)
        asked.new = []
        return found


def _batches(prompts: Iterator[Prompt], size: int) -> Iterator[list[Prompt]]:
    while batch := list(islice(prompts, size)):
        yield batch


def _count_unasked(run: Run, prompts: Iterable[Prompt]) -> None:
    for prompt in prompts:
        run.exclude(_STAGE, prompt.id, _ENOUGH)
