"""The runs of a project: for each run folder its stages, state, and the main figures of its evaluation."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from glob import escape
from pathlib import Path
from typing import Any, Literal

from core.errors import PubliusError
from core.records import Metric
from evaluation.config import BASE, STEERED
from evaluation.gates.recorded import gate_results
from evaluation.measures import COMPLIANCE
from evaluation.presentation import EvaluationMetrics
from evaluation.win_rate import WIN_RATE
from publius.config.run_file import load_run_config
from publius.config.stand_ins import made_up
from publius.runs.inputs import decisive_settings, recorded_config
from publius.runs.manifest import MANIFEST, read_manifest
from publius.runs.pairs.caveats import scripted_roles
from publius.stages.outcome import evaluation_of
from publius.stages.runner import planned_stages
from publius.stages.variants import PROMPTED, UNTRAINED

RUNS_FOLDER = "runs"
"""Folder of a project's runs."""
FolderState = Literal["running", "finished", "unfinished"]
_BEGUN = ("traces.jsonl", "samples.jsonl", "comparisons.jsonl", "judgments.jsonl")
"""Records of stages before a training."""
_EVALUATION = Path("eval") / "metrics.json"


@dataclass(frozen=True)
class StudioRun:
    """A run folder in the list of runs."""

    folder: Path
    manifest: Mapping[str, Any]
    planned: tuple[str, ...]
    """The stages of the complete run; empty if its recorded settings cannot be read."""
    state: FolderState
    evaluation: Mapping[str, Any]
    """Content of `metrics.json`; empty before the evaluation."""
    problem: str = ""
    made_up: str = ""
    """That its texts or labels are by the scripted engine; empty if a model made them."""

    def as_json(self) -> dict[str, Any]:
        """Return what the list shows as JSON-able values."""
        stages = self.manifest.get("stages", {})
        return {
            "run": self.folder.name,
            "name": self.manifest.get("name") or self.folder.name,
            "created": self.manifest.get("created", ""),
            "seed": self.manifest.get("seed", 0),
            "models": self.manifest.get("models", {}),
            "state": self.state,
            "planned": list(self.planned),
            "stages": {
                name: {"records": entry["records"], "seconds": entry["seconds"]}
                for name, entry in stages.items()
            },
            "evaluation": _evaluation_json(self.evaluation),
            "problem": self.problem,
            "made_up": self.made_up,
        }


def studio_runs(project: Path) -> list[StudioRun]:
    """Return the runs of a project, newest first."""
    folders = (path.parent for path in (project / RUNS_FOLDER).glob(f"*/{MANIFEST}"))
    found = [listed_run(folder) for folder in folders]
    return sorted(found, key=lambda run: (run.manifest.get("created", ""), run.folder.name), reverse=True)


def runs_mark(project: Path, run: str | None = None) -> tuple[object, ...]:
    """Return what changes whenever a run is made, goes on, ends or is evaluated: one, or any of a project."""
    pattern = "*" if run is None else escape(run)
    folders = sorted(path.parent for path in (project / RUNS_FOLDER).glob(f"{pattern}/{MANIFEST}"))
    return tuple((folder.name, _marks(folder), is_written(folder)) for folder in folders)


def listed_run(folder: Path) -> StudioRun:
    """Return a run folder as the list shows it; one that cannot be read has a problem and no stages."""
    try:
        manifest = read_manifest(folder)
        evaluation = evaluation_of(folder) or {}
    except PubliusError as error:
        return StudioRun(folder, {}, (), "unfinished", {}, str(error))
    done = manifest["stages"]
    planned = ("eval",) if _is_evaluation(folder, done) else _planned(folder, _marks(folder))
    if is_written(folder):
        state: FolderState = "running"
    else:
        state = "finished" if planned and all(stage in done for stage in planned) else "unfinished"
    said = _made_up(folder, _marks(folder))
    return StudioRun(folder, manifest, planned, state, evaluation, made_up=said)


def _is_evaluation(folder: Path, done: Collection[str]) -> bool:
    """Return True if a run was only evaluated (`publius eval`) and nothing of its other stages was begun."""
    others = set(done) - {"prompts", "eval"}
    return "eval" in done and not others and not any(_has_records(folder / name) for name in _BEGUN)


def _has_records(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


@lru_cache(maxsize=256)
def _made_up(folder: Path, _marks: object) -> str:
    try:
        return made_up(scripted_roles(folder, read_manifest(folder)))
    except PubliusError:
        return ""


def is_written(folder: Path) -> bool:
    """Return True if a process is writing to a run folder."""
    try:
        with (folder / ".lock").open("rb") as file:
            if not _lives(file.read(20).decode("ascii", "replace").strip()):
                return False  # without touching the lock, which a run that starts now would find taken
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True  # of another user
    return True


@lru_cache(maxsize=256)
def _planned(folder: Path, _marks: object) -> tuple[str, ...]:
    try:
        return planned_stages(recorded_config(folder))
    except PubliusError:
        return ()


def run_source(project: Path, run: StudioRun, run_files: Sequence[str]) -> dict[str, Any] | None:
    """Return the run file, by its name, and the overrides that resume a run; None if none is known to fit.

    A run records both. One of an older version is that of the first run file with the same settings.
    """
    recorded = run.manifest.get("run_file")
    if recorded in run_files:
        return {"run_file": recorded, "overrides": list(run.manifest.get("overrides", ()))}
    found = _fitting_file(project, run.folder, tuple(run_files), _marks(run.folder))
    return None if found is None else {"run_file": found, "overrides": []}


@lru_cache(maxsize=256)
def _fitting_file(project: Path, folder: Path, run_files: tuple[str, ...], _marks: object) -> str | None:
    try:
        wanted = decisive_settings(recorded_config(folder))
    except PubliusError:
        return None
    for name in run_files:
        try:
            if decisive_settings(load_run_config(project / name)) == wanted:
                return name
        except PubliusError:
            continue  # a run file with mistakes is that of no run
    return None


def _marks(folder: Path) -> tuple[int, ...]:
    marks = []
    for name in (MANIFEST, _EVALUATION):
        try:
            marks.append((folder / name).stat().st_mtime_ns)
        except OSError:
            marks.append(0)
    return tuple(marks)


def _evaluation_json(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the main variant with its compliance and win rate, and the gates; None before an evaluation."""
    if not evaluation.get("metrics"):
        return None
    fields = Metric.model_fields
    known = [
        Metric.model_validate({k: v for k, v in one.items() if k in fields}) for one in evaluation["metrics"]
    ]
    metrics = EvaluationMetrics.of(known)
    main = main_variant(metrics.variants)
    gates = gate_results(evaluation)
    return {
        "variants": list(metrics.variants),
        "main": main,
        "prompts": evaluation.get("prompts", 0),
        "compliance": {v: _cell(metrics, v, COMPLIANCE) for v in dict.fromkeys((BASE, PROMPTED, main))},
        "win_rate": _cell(metrics, main, WIN_RATE),
        "gates": [{"line": g.line(), "outcome": g.outcome, "blocks": g.blocks} for g in gates],
        "unchecked": list(map(str, evaluation.get("gates_not_checked", ()))),
    }


def main_variant(variants: tuple[str, ...]) -> str:
    """Return the variant that a run is about: the chosen checkpoint, the last training, or what there is."""
    trained = [variant for variant in variants if variant not in UNTRAINED]
    if STEERED in variants or not variants:
        return STEERED
    return trained[-1] if trained else variants[-1]


def _cell(metrics: EvaluationMetrics, variant: str, measure: str) -> dict[str, Any] | None:
    metric = metrics.values.get((variant, measure))
    if metric is None:
        return None
    outcome = None if variant == BASE else metrics.outcome(variant, measure)
    return {"value": metric.value, "low": metric.low, "high": metric.high, "n": metric.n, "outcome": outcome}
