"""The outcome of running stages: their results, label metrics and exclusions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.records import Judgment, Preference
from engines.endpoint.spending import server_records_of
from evaluation.config import STEERED
from evaluation.gates.recorded import failed_gates
from labelers.crowd.votes import MACHINES
from publius.models.reward_model import read_metrics, read_reward_metrics
from publius.runs.estimates import compared
from publius.runs.manifest import read_manifest
from publius.runs.reader import RecordsReader, RunReader
from publius.stages.base import StageResult
from publius.stages.human_labels import STAGE
from publius.stages.quality.steered import read_choice


@dataclass(frozen=True)
class RunOutcome:
    """The outcome of running stages of a run."""

    folder: Path
    stages: tuple[StageResult, ...]

    @property
    def failed_gates(self) -> tuple[str, ...]:
        """A line for each failed gate, if the evaluation was one of the stages."""
        evaluated = any(result.stage == "eval" for result in self.stages)
        return failed_gates(evaluation_of(self.folder)) if evaluated else ()

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as JSON-able values, with metrics of the whole run folder."""
        manifest = read_manifest(self.folder)
        stages: dict[str, dict[str, Any]] = manifest["stages"]
        servers = [record.as_json() for record in server_records_of(stages.values())]
        return {
            "run": str(self.folder),
            "stages": {result.stage: result.as_json() for result in self.stages},
            "left_out": {stage: entry["left_out"] for stage, entry in stages.items() if entry["left_out"]},
            "critique": stages.get("critique", {}).get("loop", {}),
            "samples": stages.get("sample", {}).get("yield", {}),
            "rounds": stages.get("dpo", {}).get("rounds", []),
            "advice": {stage: entry["advice"] for stage, entry in stages.items() if entry.get("advice")},
            "prompts": manifest.get("prompts", {}),
            "figures": label_metrics(self.folder) if "label" in stages else {},
            **({"judged": principles_per_pair(self.folder)} if "label" in stages else {}),
            "people": manifest.get(STAGE, {}),
            "reward": read_reward_metrics(self.folder / "reward"),
            "choice": read_choice(self.folder / STEERED),
            "evaluation": evaluation_of(self.folder),
            **({"late": manifest["late"]} if manifest["late"] else {}),
            **({"servers": servers} if servers else {}),
            **({"estimated": estimated} if (estimated := [c.as_json() for c in compared(manifest)]) else {}),
        }


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
        return rows


def label_metrics(folder: Path) -> dict[str, float | int]:
    """Return the metrics of a run's judgments and preferences."""
    metrics = LabelMetrics()
    with RecordsReader(folder) as files:
        for judgment in files.judgments:
            metrics.add(judgment)
        for preference in files.preferences:
            metrics.add_preference(preference)
    return metrics.rows()


def principles_per_pair(folder: Path) -> dict[str, int]:
    """Return how many of a run's principles the labeler is asked about per pair, `asked` out of `of`.

    Principles with a machine check are not among them: each is evaluated on every pair (`checks`).
    """
    with RunReader(folder) as run:
        principles, asked = run.constitution.principles, run.config.label.principles
    judged = sum(principle.check is None for principle in principles)
    return {
        "asked": judged if asked == "all" else min(asked, judged),
        "of": judged,
        "checks": len(principles) - judged,
    }


def evaluation_of(folder: Path) -> dict[str, Any] | None:
    """Return the content of a run's `eval/metrics.json`, or None if the run was not evaluated."""
    return read_metrics(folder / "eval" / "metrics.json")
