"""Metrics of a run's judgments and preferences."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from core.records import Judgment, Preference
from core.store.scan import scan_records
from labelers.crowd.votes import MACHINES
from publius.runs.reader import RecordsReader


@dataclass
class RunningMean:
    """A mean of values that are not stored."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """Add one value."""
        self.total += value
        self.count += 1

    @property
    def value(self) -> float:
        """The mean of the values so far, at least one."""
        return self.total / self.count


@dataclass
class LabelMetrics:
    """Accumulates metrics of a run's judgments and preferences."""

    judgments: Counter[str] = field(default_factory=Counter)
    """Number of judgments by labeler."""
    unparsed: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    """Number of AI judgments without a probability by the reason for it, where that is recorded."""
    ai_ties: int = 0
    same_slot: int = 0
    """Number of AI judgments where the same slot won in both orders: position decided, not content."""
    slot_bias: RunningMean = field(default_factory=RunningMean)
    """Position bias: log-odds of the first slot, averaged over both orders, in nats."""
    answer_mass: RunningMean = field(default_factory=RunningMean)
    checks_decided: int = 0
    preferences: int = 0
    ties: int = 0
    revision_chosen: int = 0
    cut_off: int = 0
    """Number of answers in the pairs that were cut off; an answer in two pairs counts twice."""
    certainty: RunningMean = field(default_factory=RunningMean)

    def add(self, judgment: Judgment) -> None:
        """Count one judgment."""
        self.judgments[judgment.labeler] += 1
        self.unparsed += judgment.verdict == "unparsed"
        self.ai_ties += judgment.labeler == "ai" and judgment.verdict == "tie"
        if judgment.problem is not None:
            self.problems[judgment.problem] += 1
        self.checks_decided += judgment.labeler == "check" and judgment.p_a != 0.5
        if judgment.orders is not None:
            first, second = judgment.orders.a_first, judgment.orders.b_first
            self.same_slot += (first > 0) != (second > 0)
            self.slot_bias.add((first - second) / 2)
        if judgment.labeler == "ai" and judgment.answer_mass is not None:
            self.answer_mass.add(judgment.answer_mass)

    def add_preference(self, preference: Preference) -> None:
        """Count one preference."""
        self.preferences += 1
        self.ties += preference.p_chosen == 0.5
        self.revision_chosen += preference.p_chosen > 0.5 and preference.origin_chosen.startswith("revision")
        self.cut_off += (not preference.finished_chosen) + (not preference.finished_rejected)
        self.certainty.add(preference.p_chosen)

    def rows(self) -> dict[str, float | int]:
        """Return the metrics by name, without those that have no value."""
        judged = self.judgments["ai"]
        rows: dict[str, float | int] = {
            "judgments.ai": judged,
            "judgments.check": self.judgments["check"],
            "judgments.check.decided": self.checks_decided,
            **{f"judgments.{name}": n for name, n in sorted(self.judgments.items()) if name not in MACHINES},
            "preferences": self.preferences,
            "preferences.ties": self.ties,
            "preferences.revision_chosen": self.revision_chosen,
        }
        if judged:
            rows["ai.unparsed"] = self.unparsed
            named = {"abstained": "ai.abstained"}
            rows |= {named.get(p, f"ai.unparsed.{p}"): n for p, n in sorted(self.problems.items())}
        if self.ai_ties:
            rows["ai.ties"] = self.ai_ties
        if self.slot_bias.count:  # none has two orders where each answer was judged alone
            rows["ai.same_slot_in_both_orders"] = round(self.same_slot / self.slot_bias.count, 3)
            rows["ai.slot_bias_nats"] = round(self.slot_bias.value, 3)
        if self.answer_mass.count:  # a server may not report it
            rows["ai.answer_mass"] = round(self.answer_mass.value, 3)
        if self.certainty.count:
            rows["preferences.mean_p_chosen"] = round(self.certainty.value, 3)
        if self.cut_off:
            rows["preferences.answers_cut_off"] = self.cut_off
        return rows

    def judgment_rows(self) -> dict[str, float | int]:
        """Return the metrics of judgments alone."""
        return {name: value for name, value in self.rows().items() if not name.startswith("preferences")}


def label_metrics(folder: Path) -> dict[str, float | int]:
    """Return the metrics of a run's judgments and preferences."""
    metrics = LabelMetrics()
    with RecordsReader(folder) as files:
        for judgment in files.judgments:
            metrics.add(judgment)
        for preference in files.preferences:
            metrics.add_preference(preference)
    return metrics.rows()


def judgment_metrics(folder: Path) -> dict[str, float | int]:
    """Return the metrics of a run's judgments alone, read from the first line to the last."""
    metrics = LabelMetrics()
    for judgment in scan_records(folder / "judgments.jsonl", Judgment):
        metrics.add(judgment)
    return metrics.judgment_rows()
