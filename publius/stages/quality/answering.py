"""Answers of one policy to prompts, for the stages that compare policies."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from core.concurrency import for_each
from core.digests import derive_seed
from core.errors import RequestError
from core.progress import progress
from core.records import Answer, Prompt
from engines.cached import CachedEngine, RequestCounts
from engines.protocols import GenerationRequest
from publius.runs.engines import Engines, conversations
from publius.runs.folder import Run
from publius.runs.manifest import ANSWERING
from publius.stages.base import Stage, live_note
from publius.stages.variants import turns_for


@dataclass(frozen=True)
class AnsweringPolicy:
    """Answers prompts as one variant of the policy, for a stage."""

    run: Run
    engine: CachedEngine
    variant: str
    stage: Stage
    purpose: str = ""
    """Purpose of the requests, for their counts; the name of the stage if empty."""

    async def answer(self, prompt: Prompt) -> Answer:
        """Return the variant's answer. Raises RequestError if prompt and answer do not fit the model."""
        # One seed for all stages: what one of them asked, the others find in the request cache.
        seed = derive_seed(self.run.config.seed, prompt.id, "eval")
        turns, sampling = turns_for(self.run, self.variant, prompt), self.run.config.eval.sampling
        purpose = self.purpose or self.stage
        request = GenerationRequest(turns, sampling, seed, purpose, affinity=prompt.id)
        return Answer.of(self.variant, prompt, await self.engine.generate(request))

    async def answer_all(self, engines: Engines, prompts: Sequence[Prompt]) -> list[Answer]:
        """Return the answers in the order of the prompts; prompts that fail are excluded."""
        run, variant = self.run, self.variant
        engines.keep(self.engine)
        found: dict[str, Answer] = {}
        with progress(f"{self.purpose or self.stage} {variant}", len(prompts)) as task:

            async def work(prompt: Prompt) -> None:
                try:
                    found[prompt.id] = await self.answer(prompt)
                except RequestError as error:
                    run.leave_out(self.stage, prompt.id, error, variant)
                task.advance()

            async with live_note(task, engines, time.monotonic()):
                await for_each(iter(prompts), work, conversations(run.config.engine))
        return [found[prompt.id] for prompt in prompts if prompt.id in found]


def record_answering(run: Run, stage: Stage, counts: RequestCounts, seconds: float) -> None:
    """Add the requests and seconds of answers to the manifest: those of a stage have other work in them, too.

    Estimates of later runs follow from them. Nothing is added if all answers were in the cache.
    """
    if not counts.asked:
        return
    before = run.manifest["stages"].get(stage, {}).get(ANSWERING, {})
    spent = Counter(before.get("requests", {}))
    spent.update(
        asked=counts.asked.total(),
        prompt_tokens=counts.prompt_tokens,
        completion_tokens=counts.completion_tokens,
    )
    total_s = round(before.get("seconds", 0.0) + seconds, 3)
    run.note_result(stage, ANSWERING, {"requests": dict(spent), "seconds": total_s})
