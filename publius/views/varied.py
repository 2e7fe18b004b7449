"""Output of runs that vary settings: those that differ only in their seed are one row, and a page has all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from core.digests import digest
from core.errors import PubliusError, shell_command
from core.notices import counted, note, warn
from core.records import Metric
from evaluation.config import BASE
from evaluation.measures import COMPLIANCE
from evaluation.presentation import BEYOND_NOISE, EvaluationMetrics, in_parentheses, number, title_of
from evaluation.report import summary_rows
from evaluation.seeds import SeedMetrics, metrics_over_seeds
from evaluation.win_rate import WIN_RATE
from publius.config.variations import shown_value
from publius.console import heading, out
from publius.stages.outcome import evaluation_of
from publius.stages.varied import VariedOutcome, VariedRun
from publius.views.report.comparing.groups import RunGroup, group_runs
from publius.views.report.contents import ReportContents
from publius.views.report.reading.answers import held_out_series
from publius.views.report.reading.sources import RunSource, open_sources
from publius.views.report.writing import ReportRequest, write_report

_SEED = "seed"
_LISTED_SEEDS = 3
"""Seeds whose values are listed; of more, the range is."""
_MARK = "*"


@dataclass(frozen=True)
class SeedGroup:
    """Runs with the same settings and different seeds."""

    key: str
    """Its name on the page: `A`, `B` and so on."""
    settings: Mapping[str, object]
    """The varied settings, without the seed."""
    seeds: tuple[int, ...]
    folders: tuple[Path, ...]
    measured: SeedMetrics | None
    """None if one of the runs has no evaluation."""

    @property
    def title(self) -> str:
        """The settings as `constitution=terse.yaml`, with the seeds."""
        settings = [f"{key}={shown_value(value)}" for key, value in self.settings.items()]
        return ", ".join([*settings, f"{'seed' if len(self.seeds) == 1 else 'seeds'} {self.seeds_text}"])

    @property
    def seeds_text(self) -> str:
        """The seeds as `0, 1`."""
        return ", ".join(map(str, self.seeds))

    def as_json(self) -> dict[str, Any]:
        """Return the group as JSON-able values."""
        return {
            "group": self.key,
            "settings": dict(self.settings),
            "seeds": list(self.seeds),
            "runs": [str(folder) for folder in self.folders],
            **({} if self.measured is None else self.measured.as_json()),
        }


@dataclass(frozen=True)
class ComparedRuns:
    """The runs of all combinations, by group, with the page that compares them."""

    outcome: VariedOutcome
    groups: tuple[SeedGroup, ...]
    report: Path | None
    problem: PubliusError | None = None
    """Why there is no page."""
    contents: ReportContents | None = None
    """What the page shows."""

    def as_json(self) -> dict[str, Any]:
        """Return the runs and groups as JSON-able values."""
        groups = [group.as_json() for group in self.groups]
        report = None if self.report is None else str(self.report)
        return {**self.outcome.as_json(), "groups": groups, "report": report}


def compared_runs(outcome: VariedOutcome) -> ComparedRuns:
    """Return the finished runs by group, and write the page that compares them."""
    folders = outcome.folders
    if not folders:
        return ComparedRuns(outcome, (), None)
    try:
        with open_sources(folders) as sources:
            settings = {run.folder: run.settings for run in outcome.runs if run.folder is not None}
            groups = tuple(_group(group, settings) for group in group_runs(sources.runs))
        written = write_report(ReportRequest(folders, report_file(folders)))
    except PubliusError as error:
        warn(f"the runs are not compared: {error}")
        return ComparedRuns(outcome, (), None, error)
    return ComparedRuns(outcome, groups, written.file, contents=written.contents)


def report_file(folders: Sequence[Path]) -> Path:
    """Return the place of the page about runs: in their project, with a name of its own for each set.

    It is not in `runs/`, so that `runs/*` on a command line names runs only.
    """
    key = digest("varied", sorted(folder.name for folder in folders))[:8]
    return folders[0].parent.parent / f"compared-{key}.html"


def print_varied(compared: ComparedRuns) -> None:
    """Print each run, what the groups measure, and the page."""
    heading("Runs")
    runs = compared.outcome.runs
    table = _table((*runs[0].settings, "run", ""))
    for run in runs:
        folder = "" if run.folder is None else run.folder.name
        table.add_row(*run.combination.cells, folder, _state(run))
    out.print(table)
    measured = [group for group in compared.groups if group.measured is not None]
    if len(measured) == 1:
        _print_measures(measured[0])
    elif measured:
        _print_headlines(measured)
    elif compared.groups:
        out.print(
            "\nno run was evaluated: publius eval in place of publius run, with the same options, measures "
            "what moved",
            soft_wrap=True,
        )
    if compared.contents is not None:
        _print_edited(compared.contents)
        _print_flips(compared.contents)
    if compared.report is not None:
        folders = map(_from_here, compared.outcome.folders)
        command = shell_command("publius", "report", *folders, "--to", _from_here(compared.report))
        out.print(f"\nreport: {compared.report}", soft_wrap=True)
        note(command)


def _from_here(path: Path) -> Path:
    """Return a path as it is typed in the current folder, if it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _print_measures(group: SeedGroup) -> None:
    """Print every measure of one group, with the values of its seeds below the means."""
    assert group.measured is not None
    found = EvaluationMetrics.of(group.measured.metrics)
    first, *rows = summary_rows(group.measured.metrics)
    heading(f"Before and after training, {group.title}, {_prompts(found)}")
    table = _table(first)
    for measure, cells in zip(found.measures, rows, strict=True):
        table.add_row(*cells)
        seeds = [_seeds(group.measured, found.values.get((variant, measure))) for variant in found.variants]
        if any(seeds):
            table.add_row("  by seed", *seeds, style="dim")
    out.print(table)
    _print_legend([group])


def _print_headlines(groups: Sequence[SeedGroup]) -> None:
    """Print the first measure of every group: all checks, or the win rate where there are none."""
    by_group = [(g, EvaluationMetrics.of(g.measured.metrics)) for g in groups if g.measured is not None]
    measure = next((m for m in (COMPLIANCE, WIN_RATE) if all(m in f.measures for _, f in by_group)), "words")
    variants = list(dict.fromkeys(name for _, found in by_group for name in found.variants))
    heading(f"{title_of(measure, '').capitalize()} by group, {_prompts(by_group[0][1])}")
    table = _table(("", *groups[0].settings, _SEED, *variants))
    for group, found in by_group:
        assert group.measured is not None
        values = [found.values.get((variant, measure)) for variant in variants]
        marks = [found.outcome(variant, measure) in BEYOND_NOISE for variant in variants]
        cells = [
            "" if value is None else in_parentheses(value) + _MARK * marked
            for value, marked in zip(values, marks, strict=True)
        ]
        table.add_row(group.key, *map(shown_value, group.settings.values()), group.seeds_text, *cells)
        seeds = [_seeds(group.measured, value) for value in values]
        if any(seeds):
            table.add_row("", *("" for _ in group.settings), "by seed", *seeds, style="dim")
    out.print(table)
    _print_legend(groups)


def _print_edited(contents: ReportContents) -> None:
    """Print what measures each edited principle, with its difference from the first group."""
    comparison = contents.comparison
    edited = [(g, one) for g in comparison.groups for one in comparison.edited(g)] if comparison else []
    if comparison is None or not edited:
        return
    heading("What measures the edits")
    for group, one in edited:
        cells = [comparison.cell(measure, group) for measure in one.measures]
        deltas = [cell.delta for cell in cells if cell is not None and cell.delta is not None]
        texts = [f"{delta.text} ({delta.interval})" for delta in deltas]
        variant = f"; {comparison.variants[0]}, against A: {', '.join(texts)}" if texts else ""
        out.print(f"{group.key}: {one.principle} {one.line}{variant}", soft_wrap=True, markup=False)


def _print_flips(contents: ReportContents) -> None:
    """Print how many preferences flipped between groups, and between the seeds of one."""
    found = [one for one in contents.shifts if one.figures.compared.value]
    if not found:
        return
    heading("Preferences flipped, of the same pairs of answers")
    table = _table(("from", "to", "same pairs", "flipped", "% (interval over prompts)"))
    for one in found:
        figures = one.figures
        share = figures.share
        text = "" if share is None else f"{share.bare} ({share.interval})"
        to = f"seeds of {one.after}" if one.is_noise else one.after
        table.add_row(one.before, to, figures.compared.text, figures.flipped.text, text)
    out.print(table)
    if not any(one.is_noise for one in found):
        out.print("no reference for noise: no two seeds of a group have a pair of answers in common")


def _print_legend(groups: Sequence[SeedGroup]) -> None:
    several = any(len(group.seeds) > 1 for group in groups)
    means = "means over seeds with intervals over prompts; " if several else ""
    out.print(f"{means}{_MARK} differs from base by more than noise (at most 5 % by chance)", soft_wrap=True)
    for group in groups:
        lacking = () if group.measured is None else group.measured.lacking
        if lacking:
            out.print(f"{group.key}: {counted(len(lacking), 'metric')} left out, which not all seeds have")


def _group(group: RunGroup, settings: Mapping[Path, Mapping[str, object]]) -> SeedGroup:
    folders = tuple(run.folder for run in group.runs)
    own = {key: value for key, value in settings[folders[0]].items() if key != _SEED}
    return SeedGroup(group.key, own, tuple(run.seed for run in group.runs), folders, _measured(group.runs))


def _measured(runs: Sequence[RunSource]) -> SeedMetrics | None:
    evaluations = [evaluation_of(run.folder) for run in runs]
    recorded = [list(map(_metric, one["metrics"])) for one in evaluations if one and one.get("metrics")]
    if len(recorded) < len(runs):
        return None
    return metrics_over_seeds([held_out_series(run) for run in runs], recorded, runs[0].seed)


def _metric(value: Mapping[str, Any]) -> Metric:
    return Metric.model_validate({key: value[key] for key in Metric.model_fields if key in value})


def _seeds(measured: SeedMetrics, metric: Metric | None) -> str:
    """Return the values of the seeds as `60.2, 62.6`; empty if they are equal or there is one seed."""
    values = () if metric is None else measured.by_seed.get(metric.name, ())
    if metric is None or len(set(values)) < 2:
        return ""
    texts = [number(metric.model_copy(update={"value": value})) for value in values]
    return ", ".join(texts) if len(texts) <= _LISTED_SEEDS else f"{_least(texts)} to {_most(texts)}"


def _least(texts: Sequence[str]) -> str:
    return min(texts, key=float)


def _most(texts: Sequence[str]) -> str:
    return max(texts, key=float)


def _prompts(found: EvaluationMetrics) -> str:
    words = found.values.get((BASE, "words"))
    return counted(words.n if words else 0, "held-out prompt")


def _state(run: VariedRun) -> str:
    if run.outcome is None:
        return "failed"
    return f"{counted(len(run.outcome.failed_gates), 'gate')} failed" if run.outcome.failed_gates else "done"


def _table(titles: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table
