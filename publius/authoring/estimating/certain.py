"""Requests of a run that no answer can spare, and the prompts that its stages work on, before it runs."""

from __future__ import annotations

import contextlib
import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from operator import itemgetter

from constitution.schema import Principle
from core.digests import derive_uniform
from core.records import Prompt, Split
from critique.config import CritiqueConfig
from critique.guard import Standing
from critique.strategies import principles_of_round
from publius.authoring.estimating.bounds import CRITIQUE_PURPOSE, REVISION_PURPOSE, CallBounds, StageFacts
from publius.authoring.estimating.dry import DryEngine
from publius.runs.engines import EngineRole, Engines
from publius.runs.temporary import TemporaryRun
from publius.stages.base import Stage, prompts_of, validation_prompts
from publius.stages.compare import compared_splits
from publius.stages.critique import loop_of
from publius.stages.scoring import scorer_of
from training.methods import ON_POLICY_METHODS

_SAMPLED = ("base", "sft", "prompted")
"""Sources of comparisons for which the stage `compare` samples answers."""
_TEMPLATE = 512
"""Tokens that a chat template adds to a prompt at most, such as a system message of its own."""


@dataclass
class CertainRequests:
    """What is known of each stage before it runs.

    Args:
        run: a run in a temporary folder.
        engines: dry engines.
        dry: returns the dry engine of a role.
        most_prompts: prompts that a stage works on at most; of more, a sample stands for all.
        begun: True if the run has begun and its records are not in the temporary folder.
        cached: answers in the project's cache.
        scale: number of prompts for which each of the run's stands.
    """

    run: TemporaryRun
    engines: Engines
    dry: Callable[[EngineRole], DryEngine]
    most_prompts: int
    begun: bool = False
    cached: int = 0
    scale: float = 1.0
    looped: bool = field(default=False, init=False)
    """True if the critique loop is part of the run."""

    def __post_init__(self) -> None:
        if len(self.run.prompts) > self.most_prompts:
            self.run.narrow = partial(drawn, self.most_prompts)

    @cached_property
    def loop(self) -> CritiqueConfig:
        """Settings of the critique loop, with a value for each `auto`."""
        return loop_of(self.run, self.engines).settings

    @property
    def bounds(self) -> CallBounds:
        """The bounds on the requests of the run."""
        loop = self.loop if self.looped else self.run.config.critique
        return CallBounds(self.run.config, self.run.constitution, loop)

    def facts(self, stage: Stage) -> StageFacts:
        """Return what is known of a stage before it runs."""
        self.looped = self.looped or stage == "critique"
        if stage == "choose":  # all of its prompts are looked at
            count = round(self.scale * len(validation_prompts(self.run)))
            return StageFacts(count, count, self.scale, begun=self.begun)
        splits = self._splits(stage)
        own, count = self._own(splits), self.count(splits)
        if stage == "eval" and (limit := self.run.config.eval.prompts) is not None:
            own, count = min(own, limit), min(count, limit)
        owed = count
        if stage == "critique" and not self.begun:
            owed = max(0, owed - len(self.run.traces))
        facts = StageFacts(count, owed, self._factor(count, own), begun=self.begun, cached=self.cached)
        if facts.factor > 1:
            facts.of_all = {
                purpose: round(self.scale * number) for purpose, number in self._of_all(stage, splits)
            }
        return facts

    def count(self, splits: set[Split]) -> int:
        """Return the number of all prompts of splits, those included for which the run's stand."""
        return round(self.scale * self._own(splits))

    def factor(self, splits: set[Split]) -> float:
        """Return the number of prompts for which each one of a stage that works on splits stands."""
        return self._factor(self.count(splits), self._own(splits))

    def _own(self, splits: set[Split]) -> int:
        with self._all_prompts():
            return sum(1 for _ in prompts_of(self.run, splits))

    def _factor(self, count: int, own: int) -> float:
        seen = min(own, self.most_prompts)
        return max(1.0, count / seen) if seen else 1.0

    def requests(self, stage: Stage) -> dict[str, int]:
        """Return the requests of a stage's prompts that no answer can spare, by purpose."""
        if stage == "critique":
            return self._rounds()
        sample = self.run.config.sample
        if stage != "sample" or sample.informative is None:
            return {}
        first = math.ceil(sample.informative / sample.batch) * sample.batch
        with self._all_prompts():
            prompts = list(islice(prompts_of(self.run, set(sample.splits)), first))
        return {"sample": self._draws(prompts)}

    def _splits(self, stage: Stage) -> set[Split]:
        """Return the splits of the prompts that a stage works on, or that its records come from."""
        config = self.run.config
        if stage == "eval":
            return {"test"}
        if stage in ON_POLICY_METHODS:
            return {"train", "preference"}
        sources: dict[str, str] = {"critique": "revisions", "sample": "samples", "sft": config.sft.source}
        source = sources.get(stage, config.compare.source)
        if source == "samples":
            return set(config.sample.splits)
        if source in _SAMPLED:
            return compared_splits(self.run)
        return {"train", "preference"} if config.compare.source == "revisions" else {"train"}

    def _rounds(self) -> dict[str, int]:
        """Return the critiques and revisions of the rounds that cannot be skipped."""
        loop, found = self.loop, {CRITIQUE_PURPOSE: 0, REVISION_PURPOSE: 0}
        for prompt in prompts_of(self.run, self._splits("critique")):
            if self.run.traces.has_children(prompt.id):
                continue
            for number in range(1, loop.rounds + 1):
                principles = self._principles(prompt, number)
                checked = all(principle.check is not None for principle in principles)
                if not principles or (checked and loop.early_stop != "off"):
                    continue
                written = checked and loop.from_checks and not any(p.critique for p in principles)
                # A greedy model that is asked the same as in the round before is not asked again.
                if not (loop.direct or written) and (number == 1 or loop.critique.temperature):
                    found[CRITIQUE_PURPOSE] += 1
                ends = loop.early_stop == "critique" and not loop.direct
                if not ends and (number == 1 or loop.revision.temperature):
                    found[REVISION_PURPOSE] += loop.candidates if loop.revision.temperature else 1
        return found

    def _principles(self, prompt: Prompt, number: int) -> Sequence[Principle]:
        """Return the principles of a round; if the answer decides, those with checks that it may choose."""
        strategy, key = self.loop.principles, (self.run.config.seed, number)
        unscored, constitution = Standing({}, frozenset(), 1.0), self.run.constitution
        if strategy != "worst":
            return principles_of_round(strategy, constitution, prompt, unscored, key)
        every = principles_of_round("all", constitution, prompt, unscored, key)
        return [principle for principle in every if principle.check is not None] or every

    def _draws(self, prompts: Iterable[Prompt]) -> int:
        """Return the number of different plain draws of the stage `sample`."""
        config = self.run.config.sample
        scorer = scorer_of(self.run, self.engines, judge=config.judge)
        return (config.draws if config.sampling.temperature else 1) * sum(map(scorer.applies_to, prompts))

    def _of_all(self, stage: Stage, splits: set[Split]) -> Iterator[tuple[str, int]]:
        """Yield the requests of all prompts that no answer can spare, by purpose, if all prompts fit."""
        config = self.run.config
        sampling = {"critique": config.critique.draft, "sample": config.sample.sampling}
        limit = sampling.get(stage, config.eval.sampling if stage == "eval" else config.compare.sampling)
        with self._all_prompts():
            prompts = partial(prompts_of, self.run, splits)
            # A token has at least one byte.
            longest = max(sum(len(m.content.encode()) for m in prompt.messages) for prompt in prompts())
            if not self.dry("policy").has_room(longest + limit.max_new_tokens + _TEMPLATE):
                return
            count = sum(1 for _ in prompts())
            if stage == "critique":
                yield "draft", count
            elif stage == "eval":
                yield "eval", count  # of the policy before training
            elif stage == "sample":
                yield "sample", self._draws(prompts())
            elif stage == "compare" and config.compare.source == "base":
                yield "sample", count * (config.compare.samples if limit.temperature else 1)

    @contextlib.contextmanager
    def _all_prompts(self) -> Iterator[None]:
        """Let the run yield all of its prompts, not only those of the sample."""
        narrow, self.run.narrow = self.run.narrow, iter
        try:
            yield
        finally:
            self.run.narrow = narrow


def drawn(count: int, prompts: Iterator[Prompt]) -> Iterator[Prompt]:
    """Return `count` of the prompts, drawn by id, in their order."""
    places = ((derive_uniform("estimate", prompt.id), place, prompt) for place, prompt in enumerate(prompts))
    chosen = heapq.nsmallest(count, places, key=itemgetter(0))
    return (prompt for _, _, prompt in sorted(chosen, key=itemgetter(1)))
