"""Bounds on the number of requests, where it depends on answers that do not exist yet.

A stage may skip requests because of an answer: a round of critique whose checks pass already, a comparison of
near-duplicates, a way to teach where a draw passes. The dry run gives the expected number; here are the
fewest and the most, for requests that succeed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from constitution.schema import Constitution
from critique.config import CritiqueConfig
from evaluation.config import ChooseConfig
from labelers.config import asks_both_polarities
from labelers.modes.written import VERDICT_PURPOSE
from publius.authoring.estimating.dry import AskedRequests
from publius.config.run_file import RunConfig
from publius.stages.quality.best_of import BEST_OF_PURPOSE
from publius.stages.quality.refusing import REFUSAL_PURPOSE

CRITIQUE_PURPOSE, REVISION_PURPOSE, LABEL_PURPOSE, REWARD_PURPOSE = "critique", "revision", "label", "reward"
CHOICE_PURPOSES = (LABEL_PURPOSE, REWARD_PURPOSE)
"""Purposes whose answers are choices: a server bills one token for each."""
DRAWN = "sample", "prompted"
"""Purposes of sampled answers that are compared."""


class Calls(NamedTuple):
    """The fewest and the most requests."""

    fewest: float
    most: float


@dataclass
class StageFacts:
    """What is known of a stage before the run, and what its dry run found."""

    prompts: int = 0
    """Prompts that it works on, all of them."""
    owed: int = 0
    """Those without a finished record."""
    factor: float = 1.0
    """Number of prompts for which each prompt of the dry run stands."""
    settled: bool = False
    """True if nothing that decides about its requests is a placeholder: the dry run has them all."""
    begun: bool = False
    """True if a run that has begun has records that the dry run does not have."""
    certain: dict[str, int] = field(default_factory=dict)
    """Requests of the dry run's prompts by purpose that are made whatever the answers are, cached or not."""
    of_all: dict[str, int] = field(default_factory=dict)
    """Requests of all prompts by purpose that are made whatever the answers are, for a sample of prompts."""
    cached: int = 0
    """Answers in the cache."""
    variants: int = 0
    """Models that `choose` and `eval` compare."""
    rated: bool = False
    """True if the judge rates single answers in `eval`."""
    rollouts: int = 0
    """Answers that a method on the policy's own answers samples."""
    added: int = 0
    """Comparisons that were imported with human judgments."""


@dataclass(frozen=True)
class CallBounds:
    """The bounds on the requests of a run.

    Args:
        config: its configuration.
        constitution: its constitution.
        loop: settings of its critique loop, with a value for each `auto`.
    """

    config: RunConfig
    constitution: Constitution
    loop: CritiqueConfig

    def of(self, stage: str, purpose: str, row: AskedRequests, facts: StageFacts) -> Calls:
        """Return the bounds on the requests of a purpose that are sent to a model."""
        if facts.settled:
            return Calls(row.asked, row.asked)
        asked, reused = row.asked / facts.factor, row.reused / facts.factor
        certain = purpose in self._certain_purposes(stage, facts)
        if certain and facts.factor == 1:
            upper = row.asked + (facts.prompts * self._weaker if stage == "choose" else 0)
        else:
            upper = max(row.asked, self.most(stage, purpose, facts) - reused)
        fewest = 0.0
        if purpose in facts.certain:
            # The first draws of `sample` are those of all prompts, not of the sampled ones.
            of_all = stage == "sample" and facts.factor > 1
            fewest = facts.certain[purpose] - (facts.cached if of_all else reused)
        elif certain:  # those of the sampled prompts at least
            # A training without anything to learn from leaves no model to ask.
            absent = row.untrained / facts.factor if stage in ("eval", "choose") else 0
            fewest = max(asked - absent, facts.of_all.get(purpose, 0) - facts.cached)
        return Calls(0 if facts.begun else min(max(0, fewest), upper), upper)

    def _certain_purposes(self, stage: str, facts: StageFacts) -> tuple[str, ...]:
        """Return the purposes of a stage whose requests do not depend on answers."""
        config = self.config
        if stage == "sample":
            return () if config.sample.informative else ("sample",)
        if stage == "compare" and config.compare.source == "sft":
            # If SFT has nothing to learn from, the policy before it is asked, unless it was asked before.
            one, other = (section.sampling.model_dump() for section in (config.compare, config.sample))
            return DRAWN if one != other and one["temperature"] and not facts.cached else ()
        return {
            "critique": ("draft",),
            "compare": DRAWN,
            "eval": ("eval", REFUSAL_PURPOSE),
            "choose": ("choose",),
        }.get(stage, ())

    def purposes(self, stage: str) -> Iterator[str]:
        """Yield the purposes that a stage may have requests of although its dry run has none."""
        config = self.config
        if stage == "critique":
            yield from () if self.loop.direct else (CRITIQUE_PURPOSE,)
            yield from (REVISION_PURPOSE, REWARD_PURPOSE) if config.critique.judge else (REVISION_PURPOSE,)
        elif stage == "sample":
            without = {"repaired"} if self._checks else {"repaired", "begun"}  # checks name the beginnings
            yield from (way for way in config.sample.teach if way not in without)
            yield from (REWARD_PURPOSE,) if config.sample.judge else ()
        elif stage == "dpo" and config.dpo.rounds > 1:
            yield from DRAWN if config.compare.source == "prompted" else DRAWN[:1]
            yield from self._judging
            yield from (REWARD_PURPOSE,) if self._compares_by_judge else ()
        elif stage == "label" or (stage in ("eval", "choose") and config.models.judge is not None):
            yield from self._judging
            if stage == "eval":
                yield REWARD_PURPOSE

    def most(self, stage: str, purpose: str, facts: StageFacts) -> float:
        """Return the most requests, those in the cache included."""
        config, prompts = self.config, facts.prompts
        rounds = config.dpo.rounds - 1 if stage == "dpo" else 1
        if purpose in (LABEL_PURPOSE, VERDICT_PURPOSE):
            return self._most_labels(stage, facts, rounds)
        if purpose == REWARD_PURPOSE:
            return self._most_scores(stage, facts, rounds)
        if stage == "critique":
            loop = self.loop
            each = {CRITIQUE_PURPOSE: loop.rounds, REVISION_PURPOSE: loop.rounds * loop.candidates}.get(
                purpose, 1
            )
            return facts.owed * each
        if stage == "sample":
            if purpose == "sample":
                return prompts * config.sample.draws
            again = purpose == "begun" and self._checks > 1
            return prompts * config.sample.attempts * (2 if again else 1)
        if stage in ("compare", "dpo"):
            half = config.compare.source == "prompted"
            return prompts * rounds * (config.compare.samples // 2 if half else config.compare.samples)
        if purpose == BEST_OF_PURPOSE:
            return prompts * (config.eval.best_of or 0)
        return prompts * (facts.variants + (self._weaker if stage == "choose" else 0))

    def limit(self, stage: str, purpose: str) -> int:
        """Return the most tokens of an answer; 0 where no text is written."""
        config = self.config
        if purpose in (LABEL_PURPOSE, REWARD_PURPOSE):
            return 0
        if purpose == VERDICT_PURPOSE:
            return config.label.verdict.max_new_tokens
        if stage == "critique":
            sampling = {
                CRITIQUE_PURPOSE: config.critique.critique,
                REVISION_PURPOSE: config.critique.revision,
            }
            return sampling.get(purpose, config.critique.draft).max_new_tokens
        sampled = config.sample if stage == "sample" else config.compare
        return (config.eval if stage in ("eval", "choose") else sampled).sampling.max_new_tokens

    def quoted(self, stage: str, purpose: str) -> int:
        """Return the most tokens of answers that a request of this purpose repeats."""
        loop, config = self.config.critique, self.config
        answer = max(loop.draft.max_new_tokens, loop.revision.max_new_tokens)
        if purpose == REVISION_PURPOSE:
            return answer + (0 if self.loop.direct else loop.critique.max_new_tokens)
        if purpose == CRITIQUE_PURPOSE:
            return answer
        if purpose not in (LABEL_PURPOSE, VERDICT_PURPOSE, REWARD_PURPOSE):
            return 0
        limits = [config.compare.sampling.max_new_tokens]
        if stage in ("eval", "choose"):
            limits = [config.eval.sampling.max_new_tokens]
        elif stage == "critique" or (stage == "label" and config.compare.source == "revisions"):
            limits = [answer]
        elif stage == "sample" or (stage == "label" and config.compare.source == "samples"):
            limits = [config.sample.sampling.max_new_tokens]
        # The letter of a reasoned label is asked for behind the reasons.
        reasons = config.label.verdict.max_new_tokens if config.label.mode == "reasoned" else 0
        written = reasons if purpose == LABEL_PURPOSE else 0
        return (1 if purpose == REWARD_PURPOSE else 2) * max(limits) + written

    @property
    def _judging(self) -> tuple[str, ...]:
        """Purposes of the requests of a label."""
        both = {"reasoned": (LABEL_PURPOSE, VERDICT_PURPOSE), "rubric": (VERDICT_PURPOSE,)}
        return both.get(self.config.label.mode, (LABEL_PURPOSE,))

    def _most_labels(self, stage: str, facts: StageFacts, rounds: int) -> float:
        """Return the most requests of labels: two or four for each principle of a comparison."""
        each = 2 * self._principles * self._polarities
        if stage in ("eval", "choose"):
            # With the base model, and in `eval` the chosen checkpoint.
            return facts.prompts * each * (facts.variants + (self._weaker if stage == "choose" else 0))
        pairs = self._pairs(self.config.compare.samples) if stage == "dpo" else self._pairs_of_run
        return (facts.prompts * pairs * rounds + facts.added) * each

    def _most_scores(self, stage: str, facts: StageFacts, rounds: int) -> float:
        """Return the most requests of scores: one or two for each principle of an answer."""
        config, each = self.config, self._principles * self._polarities
        if stage == "eval":
            every = self._judged * self._polarities
            return facts.prompts * every * facts.variants if facts.rated else 0
        if stage == "critique":
            return facts.owed * each * (1 + self.loop.rounds * self.loop.candidates)
        if stage == "sample":
            return facts.prompts * each * self._samples
        if facts.rollouts:
            return facts.rollouts * each
        return facts.prompts * each * config.compare.samples * rounds

    @property
    def _principles(self) -> int:
        """Principles that an answer or a comparison is judged under at most."""
        drawn = self.config.label.principles
        return self._judged if drawn == "all" else min(drawn, self._judged)

    @property
    def _judged(self) -> int:
        """Principles without a machine check."""
        return len(self.constitution.steering) - self._checks

    @property
    def _polarities(self) -> int:
        """Questions about an answer under a principle."""
        return 2 if asks_both_polarities(self.config.label) else 1

    @property
    def _samples(self) -> int:
        """Scored answers of a prompt at most."""
        sample = self.config.sample
        again = {"begun", "repaired"} & set(sample.teach) if self._checks > 1 else ()
        return sample.draws + (len(sample.teach) + len(again)) * sample.attempts

    @property
    def _weaker(self) -> int:
        """Weaker forms of a checkpoint that the choice tries if a limit excludes it."""
        return len((self.config.choose or ChooseConfig()).weaker)

    @property
    def _pairs_of_run(self) -> int:
        """Comparisons of a prompt at most, as the stage `compare` builds them."""
        compare = self.config.compare
        if compare.source == "revisions":
            return 1
        return self._pairs(self._samples if compare.source == "samples" else compare.samples)

    def _pairs(self, count: int) -> int:
        """Return the comparisons of a prompt with so many answers at most."""
        if self.config.compare.pairs == "best_worst":
            return 1
        return count * (count - 1) // 2 if self.config.compare.pairs == "all" else count // 2

    @property
    def _compares_by_judge(self) -> bool:
        return self.config.compare.pairs == "best_worst" and self.config.sample.judge

    @property
    def _checks(self) -> int:
        return sum(principle.check is not None for principle in self.constitution.steering)
