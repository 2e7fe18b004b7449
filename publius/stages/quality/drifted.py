"""The drift of a run's variants: phrases that spread, and proxies against gold from what the run recorded."""

from __future__ import annotations

from collections.abc import Sequence

from core.notices import counted, warn
from core.records import Answer
from core.store.files import is_there
from core.store.jsonl import opened, rows
from evaluation.drift.measured import DriftFindings, judged_against_checks, phrases_by_variant
from evaluation.drift.over_optimization import OverOptimization, over_optimization
from evaluation.drift.reward_curve import RewardCurve
from publius.runs.folder import Run
from training.methods import RL_METHODS


def drift_of(run: Run, answers: Sequence[Answer], reward_curve: RewardCurve | None = None) -> DriftFindings:
    """Return the findings of drift, with the best-of-n curve if there is one. Nothing is generated here."""
    seed = run.config.seed
    # Opening the records of a run without samples would create their file.
    has_samples = is_there(run.folder / "samples.jsonl")
    curve = judged_against_checks(run.samples, run.constitution, seed) if has_samples else ()
    return DriftFindings(phrases_by_variant(answers, seed), _trainings(run), curve, reward_curve)


def _trainings(run: Run) -> dict[str, OverOptimization]:
    """Return proxy and gold along the run's trainings by reinforcement learning that have a gold reward."""
    found: dict[str, OverOptimization] = {}
    for method in RL_METHODS:
        path = run.folder / method / "metrics.jsonl"
        if run.adapter(method) is None or not is_there(path):
            continue
        with opened(path) as file:
            read = [row for _, row in rows(file)]
        lines = [row for row in read if isinstance(row, dict)]
        if len(lines) < len(read):
            warn(f"{path}: {counted(len(read) - len(lines), 'line')} skipped, which cannot be read")
        if (course := over_optimization(lines)) is not None:
            found[method] = course
    return found
