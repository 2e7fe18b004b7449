"""Output of runs that vary settings: those that differ only in their seed are one row, and a page has all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from core.digests import digest
from core.errors import PubliusError, shell_command
from core.notices import counted, note, warn
from core.records import Metric
from core.terminal.breaking import BreakableName
from evaluation.config import BASE
from evaluation.derived.seeds import SeedMetrics
from evaluation.judged.names import JUDGED
from evaluation.measures import COMPLIANCE
from evaluation.presentation import (
    BEYOND_NOISE,
    EvaluationMetrics,
    in_parentheses,
    number,
    title_of,
    variants_in_words,
)
from evaluation.refusals.names import OVER_REFUSAL, UNDER_REFUSAL
from evaluation.report import summary_rows
from evaluation.win_rate import WIN_RATE
from publius.config.stand_ins import stand_ins_sentence
from publius.config.variations import shown_value
from publius.console import heading, out
from publius.runs.manifest import read_manifest
from publius.runs.pairs.caveats import scripted_roles
from publius.stages.outcome import out_of_scope_of, unmeasured_of
from publius.stages.varied import VariedOutcome, VariedRun
from publius.views.report.comparing.groups import GroupCell, GroupComparison, RunGroup, group_runs
from publius.views.report.comparing.seeds import measured_over_seeds
from publius.views.report.contents import ReportContents
from publius.views.report.figures import Figure
from publius.views.report.reading.sources import open_sources
from publius.views.report.writing import ReportRequest, write_report
from publius.views.run_summary import print_unmeasured

_SEED = "seed"
_LISTED_SEEDS = 3
"""Seeds whose values are listed; of more, the range is."""
_MARK = "*"
_CAVEATS_LISTED = 12
"""Caveats that the terminal lists; the page has all."""
_BASE_OF_EACH = 3
"""Groups up to which the table of rules has base for each of them."""
_REFUSALS = {OVER_REFUSAL: "safe", UNDER_REFUSAL: "unsafe"}
"""Measures of refusals, each with the prompts that it is measured on."""
_OF_RULES = (f"{COMPLIANCE}.", f"{JUDGED}.")
"""Beginnings of the measures of single rules."""


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
    not_compared: Mapping[str, str] = field(default_factory=dict)
    """Measures that its constitution and that of group A define differently, each with the reason."""

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
            **({"not_compared": dict(self.not_compared)} if self.not_compared else {}),
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

    @property
    def caveats(self) -> tuple[str, ...]:
        """What is said before any figure: what speaks against the comparison, and serious alarms."""
        if self.contents is not None:
            return tuple(
                f"{alarm.text}{self.contents.whose(labels)}"
                for alarm, labels in self.contents.leading.items()
            )
        folders = self.outcome.folders
        roles = [role for folder in folders for role in scripted_roles(folder, read_manifest(folder))]
        return (stand_ins_sentence(tuple(dict.fromkeys(roles))),) if roles else ()

    def as_json(self) -> dict[str, Any]:
        """Return the caveats, the runs and the groups as JSON-able values."""
        groups = [group.as_json() for group in self.groups]
        report = None if self.report is None else str(self.report)
        return {"caveats": list(self.caveats), **self.outcome.as_json(), "groups": groups, "report": report}


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
    """Print whether a model wrote the texts, each run, what the groups measure, and the page."""
    for line in compared.caveats[:_CAVEATS_LISTED]:
        out.print(line, style="bold", markup=False)
    more = len(compared.caveats) - _CAVEATS_LISTED
    if more > 0:
        out.print(f"and {more:,} more on the page", style="bold", markup=False)
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
        _print_groups(compared.groups)
        out.print(
            "\nno run was evaluated: publius eval in place of publius run, with the same options, measures "
            "what moved"
        )
    _print_compared(compared.contents, measured)
    if compared.report is not None:
        folders = map(_from_here, compared.outcome.folders)
        command = shell_command("publius", "report", *folders, "--to", _from_here(compared.report))
        out.print(f"\nreport: {compared.report}", soft_wrap=True)
        note(command, plain=True)


def _print_compared(contents: ReportContents | None, measured: Sequence[SeedGroup]) -> None:
    """Print what the comparison says of single rules, edits and preferences."""
    if contents is not None:
        _print_rules(contents)
    if len(measured) > 1:
        _print_unmeasured(measured)
    if contents is not None:
        _print_edited(contents)
        _print_flips(contents)


def _print_groups(groups: Sequence[SeedGroup]) -> None:
    """Print the settings of each group: runs that differ only in their seed are one."""
    heading("Groups: runs that differ only in their seed")
    for group in groups:
        out.print(f"{group.key}: {group.title}", markup=False)


def _from_here(path: Path) -> Path:
    """Return a path as it is typed in the current folder, if it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _print_measures(group: SeedGroup) -> None:
    """Print every measure of one group, with the values of its seeds below the means."""
    assert group.measured is not None
    found = EvaluationMetrics.of(group.measured.metrics)
    first, *rows = summary_rows(group.measured.metrics)
    heading(f"{variants_in_words(found.variants)}, {group.title}, {_prompts(found)}")
    table = _table(first)
    for measure, (name, *cells) in zip(found.measures, rows, strict=True):
        table.add_row(BreakableName(name), *cells)
        seeds = [_seeds(group.measured, found.values.get((variant, measure))) for variant in found.variants]
        if any(seeds):
            table.add_row("  by seed", *seeds, style="dim")
    out.print(table)
    _print_legend([group])
    print_unmeasured(unmeasured_of(group.folders[0]), out_of_scope_of(group.folders[0]))


def _print_headlines(groups: Sequence[SeedGroup]) -> None:
    """Print the first measure of every group, all checks or else the win rate, and what they refuse."""
    by_group = [(g, EvaluationMetrics.of(g.measured.metrics)) for g in groups if g.measured is not None]
    measure = next((m for m in (COMPLIANCE, WIN_RATE) if all(m in f.measures for _, f in by_group)), "words")
    _print_by_group(measure, by_group, _prompts(by_group[0][1]))
    for refusal, kind in _REFUSALS.items():
        counts = [one.n for _, found in by_group for key, one in found.values.items() if key[1] == refusal]
        if counts:
            _print_by_group(refusal, by_group, counted(min(counts), f"{kind} prompt"))
    _print_legend(groups)
    for group in groups:
        for one in (measure, *_REFUSALS):
            if one in group.not_compared:
                out.print(f"{title_of(one, '')}: {group.not_compared[one]}", markup=False)


def _print_by_group(
    measure: str, by_group: Sequence[tuple[SeedGroup, EvaluationMetrics]], prompts: str
) -> None:
    """Print one measure of every variant, a row for each group; `prompts` says of how many."""
    variants = list(dict.fromkeys(name for _, found in by_group for name in found.variants))
    heading(f"{title_of(measure, '').capitalize()} by group, {prompts}")
    table = _table(("", *by_group[0][0].settings, _SEED, *variants))
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


def _print_unmeasured(groups: Sequence[SeedGroup]) -> None:
    """Print the rules of each group that are in no row, those of groups with the same ones once."""
    folders = [group.folders[0] for group in groups]
    for names, outside in dict.fromkeys((unmeasured_of(one), out_of_scope_of(one)) for one in folders):
        print_unmeasured(names, outside)


def _print_rules(contents: ReportContents) -> None:
    """Print the measures of single rules by group: of base, and of the variant that the comparison is about.

    Base has no intervals here, for which 80 columns have no room; of many groups, only that of A is shown.
    """
    comparison = contents.comparison
    if comparison is None or len(comparison.groups) < 2 or not comparison.variants:
        return
    main = comparison.variants[0]
    rows = [row for row in comparison.of(main) if row.measure.startswith(_OF_RULES)]
    if not rows:
        return
    of_base = {} if main == BASE else {row.measure: row.cells for row in comparison.of(BASE)}
    with_base = 0 if not of_base else len(comparison.groups) if len(comparison.groups) <= _BASE_OF_EACH else 1
    heading(f"Rules by group, {f'{BASE} and {main}' if of_base else main}")
    titles = [""]
    for place, group in enumerate(comparison.groups):
        titles += [f"{group.key}\n{BASE}"] if place < with_base else []
        titles.append(f"{group.key}\n{main}" if of_base else group.key)
    table = _table(titles)
    for row in rows:
        cells: list[BreakableName | str] = [BreakableName(row.title)]
        bases = of_base.get(row.measure, ())
        for place, cell in enumerate(row.cells):
            if place < with_base:
                base = bases[place] if place < len(bases) else None
                cells.append("" if base is None else base.value.bare)
            cells.append("" if cell is None else _rule_cell(cell))
        table.add_row(*cells)
    out.print(table)
    legend = f"{_MARK} {main} differs from {comparison.groups[0].key} by more than noise"
    out.print(f"{legend}; intervals of {BASE} are on the page" if of_base else legend)
    for group in comparison.groups[1:]:
        for row, reason in comparison.not_compared(group):
            if row in rows:
                out.print(f"{row.title}: {reason}", markup=False)


def _rule_cell(cell: GroupCell) -> str:
    """Return a value as `64.3 (38.8-83.7)`, with the mark of a difference."""
    interval = cell.value.interval.replace(" to ", "-")
    return _with_interval(cell.value.bare, interval) + _MARK * cell.is_beyond_noise


def _print_edited(contents: ReportContents) -> None:
    """Print what measures each edited principle, with its difference from the first group."""
    comparison = contents.comparison
    edited = [(g, one) for g in comparison.groups for one in comparison.edited(g)] if comparison else []
    if comparison is None or not edited:
        return
    heading("What measures the edits")
    for group, one in edited:
        cells = [cell for measure in one.measures if (cell := comparison.cell(measure, group)) is not None]
        deltas = [cell.delta for cell in cells if cell.delta is not None]
        texts = [_with_interval(delta.text, delta.interval) for delta in deltas]
        variant = f"; {comparison.variants[0]}, against A: {', '.join(texts)}" if texts else ""
        variant += _uncompared(comparison, group, one.measures)
        variant += "".join(
            f"; {reason}" for reason in dict.fromkeys(cell.not_compared for cell in cells) if reason
        )
        out.print(f"{group.key}: {one.principle}: {one.line}{variant}", markup=False)


def _uncompared(comparison: GroupComparison, group: RunGroup, measures: Sequence[str]) -> str:
    """Return the values of measures that a group and the first one define differently, with their words."""
    found = {m: values for m in measures if (values := comparison.uncompared(m, group))}
    parts = ["; ".join(" against ".join(f"{key} {_figure(f)}" for key, f in one) for one in found.values())]
    words = [comparison.cell("words", one) for one in (comparison.groups[0], group)]
    if found and all(words):
        parts.append("words: " + " against ".join(f"{c.group} {_figure(c.value)}" for c in words if c))
    return f"; {comparison.variants[0]}, by different checks: {'; '.join(parts)}" if found else ""


def _figure(figure: Figure) -> str:
    return _with_interval(figure.text, figure.interval)


def _with_interval(value: str, interval: str) -> str:
    """Return a value with its interval in brackets; alone if it has none."""
    return f"{value} ({interval})" if interval else value


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
        text = "" if share is None else _with_interval(share.bare, share.interval)
        to = f"seeds of {one.after}" if one.is_noise else one.after
        table.add_row(one.before, to, figures.compared.text, figures.flipped.text, text)
    out.print(table)
    if not any(one.is_noise for one in found):
        out.print(
            "no reference for noise: no two seeds of a group have a pair of answers in common. "
            "Seeds draw other answers; greedy ones are more alike: --set critique.draft.temperature=0 "
            "--set critique.critique.temperature=0 --set critique.revision.temperature=0"
        )


def _print_legend(groups: Sequence[SeedGroup]) -> None:
    several = any(len(group.seeds) > 1 for group in groups)
    means = "means over seeds with intervals over prompts; " if several else ""
    out.print(f"{means}{_MARK} differs from base by more than noise (at most 5 % by chance)")
    for group in groups:
        if group.measured is not None and group.measured.lacking:
            out.print(left_out_in_words(group, group.measured), markup=False, soft_wrap=True)


def left_out_in_words(group: SeedGroup, measured: SeedMetrics) -> str:
    """Return which metrics are left out, by variant, the seeds that lack them, and what shows them."""
    found: dict[tuple[str, tuple[int, ...]], int] = {}
    for name in measured.lacking:
        key = (name.partition(".")[0], measured.without[name])
        found[key] = found.get(key, 0) + 1
    parts = []
    for (variant, places), count in found.items():
        seeds = ", ".join(str(group.seeds[place]) for place in places)
        lack = f"seeds {seeds} lack" if len(places) > 1 else f"seed {seeds} lacks"
        parts.append(f"{counted(count, 'metric')} of {variant}, which {lack}")
    lacking = {place for places in measured.without.values() for place in places}
    complete = [folder for place, folder in enumerate(group.folders) if place not in lacking]
    command = shell_command("publius", "report", *map(_from_here, complete or group.folders))
    return f"{group.key}: left out: {'; '.join(parts)}; they are shown by {command}"


def _group(group: RunGroup, settings: Mapping[Path, Mapping[str, object]]) -> SeedGroup:
    folders = tuple(run.folder for run in group.runs)
    own = {key: value for key, value in settings[folders[0]].items() if key != _SEED}
    seeds, measured = tuple(run.seed for run in group.runs), measured_over_seeds(group.runs)
    names = (
        {name.partition(".")[2] for name in (metric.name for metric in measured.metrics)}
        if measured
        else set()
    )
    reasons = {measure: reason for measure, reason in group.not_compared.items() if measure in names}
    return SeedGroup(group.key, own, seeds, folders, measured, reasons)


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
