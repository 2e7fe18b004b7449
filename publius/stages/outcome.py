"""The outcome of running stages: their results, label metrics, caveats and exclusions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.endpoint.spending import server_records_of
from evaluation.config import STEERED
from evaluation.gates.recorded import failed_gates
from publius.models.reward_model import read_metrics, read_reward_metrics
from publius.runs.estimates import compared
from publius.runs.manifest import read_manifest
from publius.runs.pairs.caveats import caveats
from publius.runs.pairs.label_metrics import label_metrics
from publius.runs.reader import RunReader
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
        labels = label_metrics(self.folder) if "label" in manifest["stages"] else {}
        stages: dict[str, dict[str, Any]] = manifest["stages"]
        servers = [record.as_json() for record in server_records_of(stages.values())]
        return {
            "run": str(self.folder),
            "caveats": list(caveats(self.folder, manifest, labels)),
            "stages": {result.stage: result.as_json() for result in self.stages},
            "left_out": {stage: entry["left_out"] for stage, entry in stages.items() if entry["left_out"]},
            "critique": stages.get("critique", {}).get("loop", {}),
            "samples": stages.get("sample", {}).get("yield", {}),
            "rounds": stages.get("dpo", {}).get("rounds", []),
            "advice": {stage: entry["advice"] for stage, entry in stages.items() if entry.get("advice")},
            "prompts": manifest.get("prompts", {}),
            "figures": labels,
            **({"judged": principles_per_pair(self.folder)} if "label" in stages else {}),
            "people": manifest.get(STAGE, {}),
            "reward": read_reward_metrics(self.folder / "reward"),
            "choice": read_choice(self.folder / STEERED),
            "evaluation": evaluation_of(self.folder),
            **({"late": manifest["late"]} if manifest["late"] else {}),
            **({"servers": servers} if servers else {}),
            **({"estimated": estimated} if (estimated := [c.as_json() for c in compared(manifest)]) else {}),
        }


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
