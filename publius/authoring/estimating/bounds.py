"""Bounds on the number of requests, where it depends on answers that do not exist yet.

A stage may skip requests because of an answer: a round of critique whose checks pass already, a comparison of
near-duplicates, a way to teach where a draw passes. The dry run gives the expected number; here are the
fewest and the most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from constitution.schema import Constitution
from evaluation.config import ChooseConfig
from publius.config.run_file import RunConfig
from publius.stages.variants import UNTRAINED

_LABEL, _REWARD = "label", "reward"


class Calls(NamedTuple):
    """The fewest and the most requests."""

    fewest: float
    most: float


@dataclass(frozen=True)
class CallBounds:
    """The bounds on the requests of a run.

    Args:
        config: its configuration.
        constitution: its constitution.
    """

    config: RunConfig
    constitution: Constitution

    def of(self, stage: str, purpose: str, asked: float, reused: float, prompts: float) -> Calls:
        """Return the bounds on the requests of a purpose that are sent to a model.

        Args:
            stage: the stage.
            purpose: the purpose of the requests.
            asked: requests of the dry run.
            reused: requests of the dry run whose answers are in the cache.
            prompts: prompts that the stage works on.
        """
        if purpose == stage and stage in ("eval", "choose"):  # a training may leave no variant to ask
            untrained = sum(name in UNTRAINED for name in self.config.eval.models) if stage == "eval" else 1
            weaker = prompts * self._weaker if stage == "choose" else 0
            return Calls(min(asked, max(0, prompts * untrained - reused)), asked + weaker)
        most = self._most(stage, purpose, prompts)
        if most is None:
            return Calls(asked, asked)
        always = stage == "critique" and not self._may_stop_early and purpose != _REWARD
        return Calls(asked if always else 0, max(asked, most - reused))

    def unseen(self, stage: str) -> list[str]:
        """Return purposes that a stage may have requests of although its dry run has none."""
        if stage != "sample":
            return []
        return [way for way in self.config.sample.teach if way != "repaired"]

    def _most(self, stage: str, purpose: str, prompts: float) -> float | None:
        """Return the most requests, cached ones included; None if the dry run has them all."""
        config = self.config
        if stage == "critique" and purpose not in (_REWARD, "draft"):
            candidates = getattr(config.critique, "candidates", 1) if purpose == "revision" else 1
            return prompts * config.critique.rounds * candidates
        if stage == "sample" and purpose in config.sample.teach:
            again = purpose == "begun" and self._checks > 1
            return prompts * config.sample.attempts * (2 if again else 1)
        if purpose == _REWARD:
            return self._most_scores(stage, prompts)
        if purpose == _LABEL:
            return self._most_labels(stage, prompts)
        # Later rounds of DPO are skipped if the time allowed is short, or a round has nothing to learn from.
        return 0.0 if stage == "dpo" else None

    def _most_labels(self, stage: str, prompts: float) -> float:
        """Return the most requests of labels: two for each principle of a comparison."""
        config = self.config
        each = 2 * min(config.label.principles, self._judged)
        if stage in ("eval", "choose"):
            return prompts * each * (max(len(config.eval.models), len(config.train) + 1) + self._weaker)
        rounds = config.dpo.rounds - 1 if stage == "dpo" else 1
        return prompts * self._pairs * each * rounds

    def _most_scores(self, stage: str, prompts: float) -> float:
        config = self.config
        each = min(config.label.principles, self._judged)
        if stage == "critique":
            answers = 1 + config.critique.rounds * getattr(config.critique, "candidates", 1)
            return prompts * each * (answers + config.critique.rounds)
        if stage == "sample":
            ways = len(config.sample.teach) + len({"begun", "repaired"} & set(config.sample.teach))
            return prompts * each * (config.sample.draws + ways * config.sample.attempts)
        return prompts * each * config.compare.samples

    @property
    def _weaker(self) -> int:
        """Weaker forms of a checkpoint that the choice tries if a limit excludes it."""
        return len((self.config.choose or ChooseConfig()).weaker)

    @property
    def _pairs(self) -> int:
        """Comparisons of a prompt at most."""
        compare = self.config.compare
        if compare.source == "revisions" or compare.pairs == "best_worst":
            return 1
        count = compare.samples if compare.source != "samples" else self.config.sample.draws
        return count * (count - 1) // 2 if compare.pairs == "all" else count // 2

    @property
    def _may_stop_early(self) -> bool:
        return getattr(self.config.critique, "early_stop", "off") != "off"

    @property
    def _checks(self) -> int:
        return sum(principle.check is not None for principle in self.constitution.principles)

    @property
    def _judged(self) -> int:
        return len(self.constitution.principles) - self._checks
