"""How often the AI labeler agrees with people on a gold slice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.records import Comparison, Metric, Preference
from core.store.files import write_atomic
from evaluation.reward.metrics import EVEN, weighted_share
from labelers.crowd.aggregate import aggregate
from labelers.crowd.votes import mostly_both_bad, votes_of
from labelers.page.ledger import Ledger
from labelers.page.tasks import Task
from publius.labels.sources import AnnotationSource

_METRIC = "labeler.accuracy"


@dataclass(frozen=True)
class GoldReport:
    """The AI labeler's accuracy, with its 95 % interval, and which comparisons it is not on."""

    accuracy: Metric | None
    """None while no comparison has a better answer."""
    left_out: dict[str, int]
    """Comparisons of the slice that say nothing about accuracy, by reason."""

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        accuracy = self.accuracy.model_dump(exclude_none=True) if self.accuracy else None
        return {"accuracy": accuracy, "left_out": self.left_out}

    def lines(self) -> list[str]:
        """Return the report for people."""
        left_out = [f"left out: {reason}, {count}" for reason, count in self.left_out.items()]
        metric = self.accuracy
        if metric is None:
            return ["the AI labeler's accuracy is not known: no comparison has a better answer", *left_out]
        interval = f"95 % interval {100 * (metric.low or 0):.1f} to {100 * (metric.high or 0):.1f} %"
        on = f"on {metric.n} comparison{'' if metric.n == 1 else 's'}"
        return [
            f"the AI labeler agrees with people in {100 * metric.value:.1f} % ({interval}) {on}",
            *left_out,
        ]

    def write(self, path: Path) -> None:
        """Write the report beside the labels."""
        write_atomic(path, json.dumps(self.as_json(), indent=2) + "\n")


def labeler_accuracy(
    source: AnnotationSource, tasks: Iterable[Task], ledger: Ledger, principle: str | None
) -> GoldReport:
    """Return how often the AI labeler prefers the answer that people prefer; a tie of its own counts half.

    People's answers to a comparison are averaged, each one alike. Where they find no answer better there is
    nothing to be right about, and the comparison is left out. The interval is Wilson's.
    """
    rights: list[float] = []
    left_out: Counter[str] = Counter()
    for task in tasks:
        comparison = task.comparisons[0]
        people, ai = _annotator_mean(task, ledger), _labeler(comparison, source, principle)
        if isinstance(people, str):
            left_out[people] += 1
        elif ai is None:
            left_out["the AI labeler gives no number"] += 1
        else:
            rights.append(EVEN if ai == EVEN else float((ai > EVEN) == (people > EVEN)))
    return GoldReport(weighted_share(_METRIC, rights, [1.0] * len(rights)), dict(left_out))


def _annotator_mean(task: Task, ledger: Ledger) -> float | str:
    """Return the mean probability of `a` by people, or why there is none that prefers an answer."""
    votes = votes_of(j for name in ledger.answerers(task) for j in ledger.current(name, task))
    if not votes:
        return "nobody has answered"
    if mostly_both_bad(votes):
        return "people find both bad"
    given = [vote.p_a for vote in votes if vote.p_a is not None]
    mean = sum(given) / len(given)
    return mean if mean != EVEN else "people find neither better"


def _labeler(comparison: Comparison, source: AnnotationSource, principle: str | None) -> float | None:
    """Return the probability of `a` by the AI labeler's judgments, aggregated as in the run's preferences."""
    if source.constitution is None:
        return None
    outcome = aggregate(comparison, source.ai_opinions(comparison, principle), source.constitution)
    return outcome.p_a(comparison) if isinstance(outcome, Preference) else None
