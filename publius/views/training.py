"""Output of training on a data set, and of `publius eval-reward`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.notices import counted, note
from publius.console import heading, out
from publius.models.eval_reward import MeasuredReward
from publius.models.train_on_data import DataOutcome

_MEASURES = {
    "accuracy": "accuracy",
    "nll": "cross-entropy, nats",
    "brier": "Brier score",
}


def print_training_outcome(outcome: DataOutcome) -> None:
    """Print the summary of a training job."""
    summary = outcome.as_json()
    heading("Training")
    members = f" for each of {summary['members']} members" if summary["members"] > 1 else ""
    out.print(f"{counted(summary['examples'], 'example')}, {summary['held_out']:,} held out")
    out.print(f"{counted(summary['steps'], 'step')}{members}, {summary['seconds']:,.0f} s")
    heading("Last step")
    for name, value in summary["metrics"].items():
        if name not in ("step", "epoch"):
            out.print(f"{name:<32}{value:>12.4g}")
    if outcome.excluded:
        heading("Excluded")
        for reason, count in outcome.excluded.items():
            out.print(f"{count:>6,}  {reason}")
    if outcome.exclusions:
        note(f"excluded rows: {outcome.exclusions}")
    print_reward(outcome.folder, outcome.evaluation, "held-out pair")
    note(f"\nadapter, metrics and card: {outcome.folder}")


def print_measured_reward(measured: MeasuredReward) -> None:
    """Print the metrics of a reward model on a data set."""
    print_reward(measured.folder, measured.metrics, "pair")


def print_reward(folder: Path, evaluation: Mapping[str, Any] | None, what: str) -> None:
    """Print the metrics of a reward model, and the number of pairs (`what`) they are computed on."""
    if evaluation is None:
        return
    heading(f"Reward model, {counted(evaluation['n'], what)}")
    for name, title in _MEASURES.items():
        metric = evaluation[name]
        if metric is None:
            continue
        has_interval = metric.get("low") is not None and metric.get("high") is not None
        interval = f"  ({metric['low']:.3f} to {metric['high']:.3f})" if has_interval else ""
        out.print(f"{title:<38}{metric['value']:>8.3f}{interval}")
    calibration = evaluation["calibration"]
    for when in ("before", "after"):
        out.print(f"{f'calibration error {when} scaling':<38}{calibration[when]['ece']:>8.3f}")
    out.print(f"{'best-fitting temperature':<38}{calibration['temperature']:>8.3g}")
    note(f"report: {folder / 'reward_report.md'}")
