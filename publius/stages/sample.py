"""The sample stage: draw answers, score them, and make one that passes where no draw does.

The stage can be interrupted at any point and run again: finished answers come from the request cache, and
records that exist are not written twice.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from core.concurrency import for_each
from core.errors import FailedRequestError, RequestError
from core.notices import note
from core.progress import ProgressTask, progress
from core.records import Prompt, ScoredAnswer
from critique.config import SampleConfig, Way
from critique.scoring import AnswerScorer, best_and_worst
from critique.teaching import AnswerSampler, Named
from evaluation.prompted import taught_turns
from publius.runs.engines import Engines, conversations
from publius.runs.folder import Run
from publius.stages.base import Stage, StageResult, live_note, prompts_of
from publius.stages.scoring import scorer_of

_STAGE: Stage = "sample"
_ENOUGH = "not asked, since sample.informative was reached"


async def sample_stage(run: Run, engines: Engines) -> StageResult:
    """Sample and score answers to the prompts until `sample.informative` of them have answers that differ."""
    started, config = time.monotonic(), run.config.sample
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
                    await sampling.answer(batch, task)
                    for prompt in batch:
                        found.add(prompt, run)
    finally:
        run.samples.sync()
        counts, seconds = engines.take_counts(), time.monotonic() - started
        run.record_stage(_STAGE, len(run.samples), counts, seconds)
    run.note_result(_STAGE, "yield", found.as_json())
    note(f"sample: {found.line()}; {counts.completion_tokens:,} tokens generated")
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
            run.exclude(_STAGE, prompt.id, outcome)
            return
        self.informative += 1
        self.by_way[outcome[0].way] += 1

    def line(self) -> str:
        """Return one line, such as `61 of 96 prompts have answers that differ; 12 by draws, 49 repaired`."""
        ways = {"draw": "by draws", "prompted": "prompted", "begun": "begun", "wide": "by wide draws"}
        parts = [f"{count:,} {ways.get(way, way)}" for way, count in sorted(self.by_way.items())]
        text = f"{self.informative:,} of {self.prompts:,} prompts have answers that differ"
        return "; ".join([text, ", ".join(parts)]) if parts else text

    def advice(self, config: SampleConfig) -> str:
        """Return what to change where no prompt has answers that differ."""
        if self.prompts and self.passing == self.prompts:
            return "every answer passes already, so there is nothing to teach; use a stricter check"
        untried = [way for way in SampleConfig().teach if way not in config.teach]
        more = f", add {', '.join(untried)} to sample.teach" if untried else ""
        return (
            f"no prompt has answers that differ in score; raise sample.draws (now {config.draws}){more}, add "
            "examples to the principles, or use a check that some answer of the model can pass"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as JSON-able values, with the line that shows them."""
        return {
            "prompts": self.prompts,
            "informative": self.informative,
            "by_origin": dict(sorted(self.by_way.items())),
            "line": self.line(),
        }


@dataclass
class _Asked:
    """A prompt, and its answers so far."""

    prompt: Prompt
    answers: list[ScoredAnswer] = field(default_factory=list)
    new: list[Named] = field(default_factory=list)
    """Answers that are not scored yet."""
    failed: bool = False
    """True if a request of it failed; its answers are then not recorded."""

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

    async def answer(self, prompts: Sequence[Prompt], task: ProgressTask) -> None:
        """Answer a batch of prompts and record their answers."""
        batch = []
        for prompt in prompts:
            if self.scorer.applies_to(prompt):
                batch.append(_Asked(prompt))
                continue
            self.run.exclude(_STAGE, prompt.id, "no principle that gives a score applies to the prompt")
            task.advance()
        await self._step(batch, "draw", lambda asked: self.sampler.draw(asked.prompt))
        owed = self._taken(batch, task)
        for way in self._ways():
            await self._step(owed, way, partial(self._attempt, way))
            owed = self._taken(owed, task)
        task.advance(len(owed))
        for asked in batch:
            for answer in () if asked.failed else asked.answers:
                self.run.samples.append(answer)

    def _ways(self) -> list[Way]:
        """Return the ways to try. With several checks, a second beginning adds what the first one left."""
        teach = list(self.run.config.sample.teach)
        again = [way for way in teach if way in ("begun", "repaired")]
        several = sum(p.check is not None for p in self.run.constitution.principles) > 1
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
                self.run.leave_out(_STAGE, asked.id, error, "" if asked.failed else name)

        await for_each(batch, guarded, conversations(self.run.config.engine))

    async def _scored(self, asked: _Asked) -> list[ScoredAnswer]:
        """Return the new answers with their scores; empty ones and those without a score are excluded."""
        found: list[ScoredAnswer] = []
        for origin, answer, begun in asked.new:
            scored = await self.scorer.score(asked.prompt, answer, origin, begun) if answer.text else None
            if scored is None:
                reason = "an answer has no score" if answer.text else "an answer is empty"
                self.run.exclude(_STAGE, asked.id, reason, origin)
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
