"""An audit without gold labels: planted violations, test examples, machine checks, and swapped answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from constitution.schema import Constitution
from core.records import Metric
from evaluation.judges.judged import JudgedPair
from evaluation.judges.measures import judged_accuracy, order_metrics
from evaluation.judges.planted import (
    KnownPair,
    checked_pairs,
    example_pairs,
    planted_constitution,
    planted_pairs,
)
from labelers.ai import AILabeler
from labelers.config import LabelMode
from publius.audit.judging import LabelingEngine, judge_known

SIDE_BY_SIDE: LabelMode = "symmetric"
"""The mode in which neither answer is the first, so that there is no swap to measure."""
LEAST_CHECKED = 0.6
"""Accuracy on a checkable principle below which the labeler is not to be asked about it."""


@dataclass(frozen=True)
class KnownMetrics:
    """Metrics on pairs whose better answer is known without people."""

    metrics: tuple[Metric, ...]
    unreliable: tuple[str, ...]
    """Checkable principles on which the accuracy is below `LEAST_CHECKED`."""


def known_metrics(constitution: Constitution, labeler: AILabeler, asked: LabelingEngine) -> KnownMetrics:
    """Return `planted`, `examples`, `checks` and each of their parts, and the metrics of swapped answers.

    Args:
        constitution: its test examples and machine checks are used.
        labeler: the labeler to measure.
        asked: its engine.
    """
    metrics: list[Metric | None] = []
    judged: list[JudgedPair] = []
    unreliable: list[str] = []
    for name, principles, pairs in (
        ("planted", planted_constitution(), planted_pairs()),
        ("examples", constitution, example_pairs(constitution)),
        ("checks", constitution, checked_pairs(constitution)),
    ):
        found = judge_known(principles, labeler, pairs, asked)
        judged += found
        metrics.append(judged_accuracy(name, found))
        parts = _by_principle(name, pairs, found)
        metrics += parts
        if name == "checks":
            unreliable = [part.name.removeprefix("checks.") for part in parts if part.value < LEAST_CHECKED]
    if labeler.config.mode != SIDE_BY_SIDE:
        metrics += order_metrics([judgment for pair in judged for judgment in pair.judgments])
    return KnownMetrics(tuple(metric for metric in metrics if metric is not None), tuple(unreliable))


def _by_principle(name: str, pairs: Sequence[KnownPair], judged: Sequence[JudgedPair]) -> list[Metric]:
    groups: dict[str, list[JudgedPair]] = {}
    for pair, found in zip(pairs, judged, strict=True):
        groups.setdefault(pair.principle.id, []).append(found)
    metrics = [judged_accuracy(f"{name}.{principle}", group) for principle, group in groups.items()]
    return [metric for metric in metrics if metric is not None]
