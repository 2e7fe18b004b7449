"""The content of a report: every run and training read, compared and drawn, in the order of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from core.notices import counted
from evaluation.measures import Series
from publius.views.report.alarms import RunAlarm, run_alarms, training_alarms
from publius.views.report.comparing.cautions import comparison_alarms
from publius.views.report.comparing.groups import GroupComparison, compare_groups, group_runs
from publius.views.report.comparing.preferences import GroupShift, flips_as_json, group_shifts
from publius.views.report.figures import FigureBook
from publius.views.report.labels.quality import LabelEvidence, read_quality
from publius.views.report.plots.best_of import best_of_plot
from publius.views.report.plots.groups import groups_plot
from publius.views.report.plots.labels import (
    certainty_plot,
    lengths_of_labels_plot,
    reliability_plot,
    slots_plot,
)
from publius.views.report.plots.results import differences_plot, lengths_plot, loop_plot, tradeoff_plot
from publius.views.report.plots.style import missing_plots
from publius.views.report.plots.training import SMOOTHED, curves_plot, plotted_curves
from publius.views.report.reading.answers import AnswerData, held_out_series
from publius.views.report.reading.costs import Costs, read_costs
from publius.views.report.reading.labels import LabelStatistics, read_labels
from publius.views.report.reading.logs import TrainingLog, read_training, run_trainings
from publius.views.report.reading.loop import LoopResults, read_loop
from publius.views.report.reading.meanings import metric_meaning
from publius.views.report.reading.provenance import RunProvenance, read_provenance
from publius.views.report.reading.results import Results, read_results
from publius.views.report.reading.sources import RunSource, Sources
from publius.views.report.summary import SentencePart, Summary, collected, summarise

Plots = Mapping[str, Markup]


@dataclass(frozen=True)
class TrainingSection:
    """A training with its plot."""

    log: TrainingLog
    plot: Markup | None
    calibration: Markup | None
    """Reliability of a reward model."""

    @property
    def is_smoothed(self) -> bool:
        """True if running means are drawn over the curves."""
        return any(len(curve.values) > SMOOTHED for curve in self.log.curves)

    @property
    def meanings(self) -> list[tuple[str, str]]:
        """The names of the curves that are drawn, with what each of them is."""
        named = [(curve.name, metric_meaning(curve.name)) for curve in plotted_curves(self.log)]
        return [(name, meaning) for name, meaning in named if meaning]


@dataclass(frozen=True)
class RunSection:
    """Everything that the page says of one run."""

    source: RunSource
    number: int
    """Place of the run in the report, from 0."""
    summary: Summary | None
    results: Results | None
    loop: LoopResults | None
    labels: LabelStatistics | None
    quality: LabelEvidence | None
    """Of the labels."""
    costs: Costs
    trainings: tuple[TrainingSection, ...]
    alarms: tuple[RunAlarm, ...]
    provenance: RunProvenance
    plots: Plots

    @property
    def collected(self) -> tuple[SentencePart, ...]:
        """What a run without an evaluation collected, and who decided it."""
        return collected(self.labels)


@dataclass(frozen=True)
class ReportContents:
    """Everything that the page shows."""

    book: FigureBook
    data: AnswerData
    flips: list[dict[str, Any]]
    runs: tuple[RunSection, ...]
    trainings: tuple[TrainingSection, ...]
    """Trainings on data sets, outside of runs."""
    training_alarms: tuple[RunAlarm, ...]
    comparison: GroupComparison | None
    cautions: tuple[RunAlarm, ...]
    """What speaks against relying on all runs together, the most serious first."""
    comparison_plots: Plots
    """By variant."""
    shifts: tuple[GroupShift, ...]
    """What each group's preferences changed, and what seeds alone do."""
    install: str | None
    """The command that installs matplotlib if it is missing."""
    tables_of: tuple[str, ...] = ()
    """Titles of the measures that were chosen for tables as files, which correct for these alone; empty
    if none were chosen."""

    @property
    def about_tables(self) -> str:
        """How the tables that were written as files correct otherwise than the page; empty if they do not."""
        if not self.tables_of:
            return ""
        return (
            "This page corrects over all measures; the tables and figures written with --measures have "
            f"{', '.join(self.tables_of)}, and correct over {counted(len(self.tables_of), 'measure')} alone."
        )

    @property
    def alarms(self) -> dict[RunAlarm, list[str]]:
        """All alarms, serious ones first, each once with the labels of the runs that have it.

        Those of a comparison have none: they are about all runs.
        """
        shared = self.cautions if len(self.runs) > 1 else ()
        found: dict[tuple[str, str], tuple[RunAlarm, list[str]]] = {
            (alarm.where, alarm.text): (alarm, []) for alarm in (*shared, *self.training_alarms)
        }
        known = set(found)
        for run in self.runs:
            for alarm in run.alarms:
                own = (alarm.where, alarm.text)
                if own not in known:
                    found.setdefault(own, (alarm, []))[1].append(run.source.label)
        return dict(sorted(found.values(), key=lambda one: one[0].kind != "serious"))

    @property
    def leading(self) -> dict[RunAlarm, list[str]]:
        """What is said of runs before any number: cautions about all of them, and the serious alarms of each.

        The labels are of the runs that have it, as in `alarms`.
        """
        shared = {alarm.text for alarm in self.cautions}
        ordered = sorted(self.alarms.items(), key=lambda one: one[0].text not in shared)
        return {
            alarm: labels
            for alarm, labels in ordered
            if alarm.text in shared or (labels and alarm.kind == "serious")
        }

    def whose(self, labels: Sequence[str]) -> str:
        """Return the short names of runs in parentheses, after a space; empty for none and for all."""
        named = 0 < len(labels) < len(self.runs)
        return f" ({', '.join(self.keys.get(label, label) for label in labels)})" if named else ""

    def against(self, section: RunSection | None = None) -> list[str]:
        """Return all alarms of a run, or of all of them, in Markdown: what speaks against their numbers.

        Args:
            section: the run; None for all. Then the runs that have an alarm are named, unless all do.
        """
        lines = []
        for alarm, labels in self.alarms.items():
            if section is None or not labels or section.source.label in labels:
                who = self.whose(labels) if section is None else ""
                lines.append(f"**{alarm.where}**: {alarm.text}{who}")
        return lines

    @property
    def keys(self) -> dict[str, str]:
        """Short names of the runs by label, such as `A2`; empty for a single run."""
        groups = self.comparison.groups if self.comparison else ()
        return {run.label: group.key_of(run) for group in groups for run in group.runs}

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """Preferences by the principle that decided them, in the form that the page reads."""
        found = [run.quality.attribution for run in self.runs if run.quality]
        return [example for one in found if one is not None for example in one.examples]

    @property
    def pair(self) -> list[tuple[str, str]]:
        """The answers of several runs that are compared at first: run and variant of the first and last."""
        if self.comparison is None:
            return []
        groups = self.comparison.groups
        runs = [group.runs[0] for group in groups] if len(groups) > 1 else list(groups[0].runs)
        mains = {one.source.label: one.results.main for one in self.runs if one.results}
        known = [(run.label, main) for run in runs if (main := mains.get(run.label))]
        return [known[0], known[-1]] if known else []

    @property
    def title(self) -> str:
        """Name of the report."""
        if len(self.runs) > 1:
            return f"{len(self.runs)} runs compared"
        names = [*(run.source.label for run in self.runs), *(one.log.name for one in self.trainings)]
        return names[0] if self.runs or len(names) == 1 else f"{len(names)} trainings"


def read_contents(sources: Sources, prompts: int) -> ReportContents:
    """Read everything that the page shows.

    Args:
        sources: the runs and trainings.
        prompts: maximum number of prompts of each kind whose answers are on the page.
    """
    book, data = FigureBook(), AnswerData(prompts)
    install = missing_plots()
    series = {run.label: held_out_series(run) for run in sources.runs}
    runs = []
    for number, run in enumerate(sources.runs):
        data.add_run(run)
        runs.append(_run_section(run, number, series[run.label], data, book, install is None))
    trainings = tuple(
        _training(source.label, source.label, source.folder, book, install is None)
        for source in sources.trainings
    )
    comparison, shifts = _compared(sources.runs, series, runs, book)
    results = {run.source.label: run.results for run in runs if run.results is not None}
    shared = comparison.prompts if comparison is not None else {}
    cautions = comparison_alarms(group_runs(sources.runs), results, shared) if runs else ()
    drawn = {}
    if comparison is not None and install is None:
        found = {v: groups_plot(comparison.of(v), f"compare-{n}") for n, v in enumerate(comparison.variants)}
        drawn = {variant: plot for variant, plot in found.items() if plot is not None}
    _count_prompts(data, book)
    return ReportContents(
        book,
        data,
        [flip for group in _listed(shifts) for shift in group.shifts for flip in flips_as_json(shift, data)],
        tuple(runs),
        trainings,
        tuple(alarm for one in trainings for alarm in training_alarms(one.log)),
        comparison,
        cautions,
        drawn,
        shifts,
        install,
    )


def _run_section(
    run: RunSource, number: int, series: Sequence[Series], data: AnswerData, book: FigureBook, draws: bool
) -> RunSection:
    results, labels, costs = read_results(run, book), read_labels(run, book), read_costs(run, book)
    trainings = tuple(
        _training(f"{run.label}.training.{name}", name, folder, book, draws, f"run{number}-{name}")
        for name, folder in run_trainings(run.folder)
    )
    loop, quality = read_loop(run, book), read_quality(run, f"run{number}", data, book)
    logs = [training.log for training in trainings]
    return RunSection(
        run,
        number,
        summarise(results) if results else None,
        results,
        loop,
        labels,
        quality,
        costs,
        trainings,
        run_alarms(run, results, labels, quality, costs, logs),
        read_provenance(run, book),
        run_plots(run, f"run{number}", results, loop, series, book)
        | label_plots(f"run{number}", labels, quality)
        if draws
        else {},
    )


def _training(
    label: str, name: str, folder: Any, book: FigureBook, draws: bool, place: str | None = None
) -> TrainingSection:
    log = read_training(label, name, folder, book)
    if not draws:
        return TrainingSection(log, None, None)
    own = _identifier(place or name)
    calibration = reliability_plot(log.calibration, f"{own}-reliability", f"Calibration of {name}")
    return TrainingSection(log, curves_plot(log, own), calibration)


def run_plots(
    run: RunSource,
    place: str,
    results: Results | None,
    loop: LoopResults | None,
    series: Sequence[Series],
    book: FigureBook,
) -> dict[str, Markup]:
    """Return the plots of a run's evaluation by name; `place` begins the ids of their parts."""
    words = {one.variant: list(one.values.values()) for one in series if one.measure == "words"}
    for variant, values in words.items():
        book.series(f"{run.label}.eval.{variant}.words", values)
    best_of = results.best_of if results else ()
    for column in ("proxy", "gold") if best_of else ():
        book.series(f"{run.label}.eval.best_of.{column}", [point[column]["value"] for point in best_of])
    found: dict[str, Markup | None] = {
        **measures_plots(results, place),
        "lengths": lengths_plot(words, f"{place}-lengths"),
        "best_of": best_of_plot(best_of, f"{place}-best-of"),
        "loop": loop_plot(loop, f"{place}-loop") if loop else None,
    }
    return {name: plot for name, plot in found.items() if plot is not None}


def measures_plots(results: Results | None, place: str) -> dict[str, Markup | None]:
    """Return the plots of an evaluation's measures by name, None for one without anything to draw."""
    if results is None:
        return {}
    return {
        "differences": differences_plot(results, f"{place}-differences"),
        "tradeoff": tradeoff_plot(results, f"{place}-tradeoff"),
    }


def label_plots(
    place: str, labels: LabelStatistics | None, quality: LabelEvidence | None
) -> dict[str, Markup]:
    """Return the plots of a run's labels by name."""
    if labels is None or quality is None:
        return {}
    found = {
        "certainty": certainty_plot(labels.certainty, f"{place}-certainty"),
        "slots": slots_plot(labels.slots, f"{place}-slots") if labels.slots else None,
        "label-lengths": lengths_of_labels_plot(quality.lengths, f"{place}-label-lengths"),
        "calibration": reliability_plot(
            quality.calibration, f"{place}-calibration", "Calibration of the AI labeler"
        ),
    }
    return {name: plot for name, plot in found.items() if plot is not None}


def _compared(
    runs: Sequence[RunSource],
    series: Mapping[str, Sequence[Series]],
    sections: Sequence[RunSection],
    book: FigureBook,
) -> tuple[GroupComparison | None, tuple[GroupShift, ...]]:
    if len(runs) < 2:
        return None, ()
    groups = group_runs(runs)
    results = {section.source.label: section.results for section in sections if section.results is not None}
    return compare_groups(groups, series, results, book), group_shifts(groups, book)


def _listed(shifts: Sequence[GroupShift]) -> Sequence[GroupShift]:
    """Return the shifts whose flips can be read one by one: between groups, if there are several."""
    return [one for one in shifts if not one.is_noise] or shifts


def _count_prompts(data: AnswerData, book: FigureBook) -> None:
    for kind in ("answer", "loop"):
        book.count(f"prompts.{kind}", len(data.found[kind]))
        book.count(f"prompts.{kind}.shown", data.shown(kind))


def _identifier(name: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in name)
