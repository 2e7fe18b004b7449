"""Accuracy of the AI labeler on a gold slice: how often it agrees with the annotators."""

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
    """The AI labeler's accuracy with its 95 % interval, and the comparisons that do not count."""

    accuracy: Metric | None
    """None as long as annotators prefer an answer in none of the comparisons."""
    excluded: dict[str, int]
    """Number of comparisons of the slice that accuracy is not computed on, by reason."""

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        accuracy = self.accuracy.model_dump(exclude_none=True) if self.accuracy else None
        return {"accuracy": accuracy, "left_out": self.excluded}

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        excluded = [f"excluded: {reason}, {count}" for reason, count in self.excluded.items()]
        metric = self.accuracy
        if metric is None:
            return [
                "the AI labeler's accuracy is unknown: annotators prefer an answer in no comparison",
                *excluded,
            ]
        interval = f"95 % interval {100 * (metric.low or 0):.1f} to {100 * (metric.high or 0):.1f} %"
        on = f"on {metric.n} comparison{'' if metric.n == 1 else 's'}"
        return [
            f"the AI labeler agrees with the annotators in {100 * metric.value:.1f} % ({interval}) {on}",
            *excluded,
        ]

    def write(self, path: Path) -> None:
        """Write the report beside the labels."""
        write_atomic(path, json.dumps(self.as_json(), indent=2) + "\n")


def labeler_accuracy(
    source: AnnotationSource, tasks: Iterable[Task], ledger: Ledger, principle: str | None
) -> GoldReport:
    """Return how often the AI labeler prefers the answer that the annotators prefer; its ties count one half.

    The annotators' answers to a comparison are averaged with equal weights. A comparison in which they prefer
    neither answer is excluded. The interval is Wilson's.
    """
    hits: list[float] = []
    excluded: Counter[str] = Counter()
    for task in tasks:
        comparison = task.comparisons[0]
        human, ai = _annotator_mean(task, ledger), _labeler(comparison, source, principle)
        if isinstance(human, str):
            excluded[human] += 1
        elif ai is None:
            excluded["the AI labeler gives no probability"] += 1
        else:
            hits.append(EVEN if ai == EVEN else float((ai > EVEN) == (human > EVEN)))
    return GoldReport(weighted_share(_METRIC, hits, [1.0] * len(hits)), dict(excluded))


def _annotator_mean(task: Task, ledger: Ledger) -> float | str:
    """Return the annotators' mean probability of `a`, or the reason why they prefer neither answer."""
    votes = votes_of(j for name in ledger.answerers(task) for j in ledger.current(name, task))
    if not votes:
        return "nobody has answered"
    if mostly_both_bad(votes):
        return "annotators find both answers bad"
    given = [vote.p_a for vote in votes if vote.p_a is not None]
    mean = sum(given) / len(given)
    return mean if mean != EVEN else "annotators prefer neither answer"


def _labeler(comparison: Comparison, source: AnnotationSource, principle: str | None) -> float | None:
    """Return the AI labeler's probability of `a`, aggregated from its judgments as in a run's preferences."""
    if source.constitution is None:
        return None
    outcome = aggregate(comparison, source.ai_opinions(comparison, principle), source.constitution)
    return outcome.p_a(comparison) if isinstance(outcome, Preference) else None
