"""Output of training on a data set or of a judge, of `publius eval-reward` and of `publius benchmark`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from core.notices import counted, note
from engines.judge.settings import LOWEST_ACCURACY, JudgeSettings, KindFigures
from evaluation.presentation import in_brackets
from publius.audit.published import MeasuredBenchmark
from publius.console import heading, out
from publius.models.eval_reward import MeasuredReward
from publius.models.train_judge import TrainedJudge
from publius.models.train_on_data import DataOutcome
from publius.views.report.reading.meanings import metric_meaning

_READ = {
    "reply": "mean over the reply's tokens",
    "end": "the last token",
    "both": "mean over the reply's tokens and the last token",
}
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
            meaning = metric_meaning(name)
            out.print(Text.assemble(f"{name:<32}{value:>12.4g}", (meaning and f"  {meaning}", "dim")))
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


def print_trained_judge(trained: TrainedJudge) -> None:
    """Print what the judge was trained on, how it was chosen and how well it judges."""
    settings = trained.settings
    heading("Judge")
    if trained.choice is not None:
        _print_shared(settings, len(trained.choice.tried))
    out.print(f"{trained.read_seconds:,.0f} s for hidden states, {trained.fit_seconds:,.0f} s for the rest")
    _print_figures("Cross-validated, on other prompts", settings.kinds)
    _print_figures("Held out, checks in held-out wordings", settings.held_out)
    if settings.principles:
        _print_principles(settings)
    if settings.abstains:
        heading(f"Abstains, below {LOWEST_ACCURACY:.0%} or not measured")
        out.print(", ".join(settings.abstains))
    if trained.excluded:
        heading("Excluded")
        for reason, count in trained.excluded.items():
            out.print(f"{count:>6,}  {reason}")
    if trained.exclusions:
        note(f"excluded rows: {trained.exclusions}")
    note(f"\njudge: {trained.folder}")


def _print_shared(settings: JudgeSettings, tried: int) -> None:
    """Print what the shared probe was trained on and how it was chosen."""
    for source, text in settings.gold.items():
        out.print(f"{source:<12}{text}")
    out.print(
        f"layer {settings.layer} of {settings.layers}, {_READ[settings.reading]}; loss {settings.loss}, "
        f"l2 {settings.l2:g}, temperature {settings.temperature:.2f}; the best of "
        f"{counted(tried, 'setting')}"
    )
    if settings.blind_to_length:
        out.print("preferences do not depend on the replies' lengths")


def _print_principles(settings: JudgeSettings) -> None:
    """Print the gold and the figures of each principle that has a probe of its own."""
    heading("Probes of single principles, cross-validated on other prompts")
    out.print(
        f"{'':<24}{'fulfil':>7}{'break':>7}{'balanced accuracy':>27}{'held out':>10}{'layer':>7}  states"
    )
    for one in settings.principles:
        row = one.figures
        interval = f"{row.accuracy:.1%} ({row.low:.1%} to {row.high:.1%})"
        unseen = "" if one.held_out is None else f"{one.held_out.accuracy:.1%}"
        out.print(
            f"{one.id:<24}{one.fulfilled:>7,}{one.broken:>7,}{interval:>27}{unseen:>10}{one.layer:>7}  "
            f"{one.reading}{', abstains' if one.abstains else ''}"
        )
    for few in settings.without_probe:
        then = "the shared probe judges" if settings.shared else "abstains"
        out.print(f"{few.id:<24}{few.fulfilled:>7,}{few.broken:>7,}  too few of a side: {then}")


def print_benchmark(measured: MeasuredBenchmark) -> None:
    """Print the metrics of a published evaluation; the first is its headline."""
    heading(f"{measured.name}, {measured.model}")
    for metric in measured.metrics:
        out.print(f"{metric.name:<36}{in_brackets(metric):>24} %{metric.n:>8,}")
    for reason, count in measured.excluded.items():
        out.print(f"{count:>6,}  {reason}")


def _print_figures(title: str, figures: Mapping[str, KindFigures]) -> None:
    if not figures:
        return
    heading(title)
    out.print(
        f"{'':<20}{'labels':>7}{'balanced accuracy':>27}{'majority':>10}{'nats':>8}{'ECE (chance)':>17}"
    )
    for kind, row in figures.items():
        interval = f"{row.accuracy:.1%} ({row.low:.1%} to {row.high:.1%})"
        error = f"{row.ece:.3f} ({row.ece_by_chance:.3f})"
        out.print(f"{kind:<20}{row.labels:>7,}{interval:>27}{row.majority:>10.1%}{row.nll:>8.3f}{error:>17}")
