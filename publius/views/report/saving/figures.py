"""Each plot of a report as SVG and PDF, and its measures as tables, in one folder."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from core.errors import ConfigError
from core.notices import warn
from core.store.files import os_errors, write_atomic
from core.text.explain import one_of
from publius.runs.pairs.caveats import made_up_in
from publius.views.report.comparing.groups import GroupComparison, compare_groups
from publius.views.report.contents import (
    ReportContents,
    RunSection,
    label_plots,
    measures_plots,
    run_plots,
)
from publius.views.report.figures import FigureBook
from publius.views.report.plots.groups import groups_plot
from publius.views.report.plots.labels import reliability_plot
from publius.views.report.plots.paper import plots_saved_to
from publius.views.report.plots.training import curves_plot
from publius.views.report.reading.answers import held_out_series
from publius.views.report.saving.labels import save_labels
from publius.views.report.saving.tables import (
    Chosen,
    MeasuresTable,
    comparison_table,
    family_rows,
    pooled_label,
    prompted_table,
    run_table,
    seeds_table,
)

TABLE = "measures"
"""Name of the table of a report's measures; those of single runs end with it."""
FOLDER_OF_RUNS = "runs"
"""Folder of the files of each of several runs, where measures are chosen."""
DIFFERENCES = "run-differences"
"""Name of the figure of a single run's measures."""
COMPARED = "compared-"
"""What the names of the figures of a comparison begin with, before the variant."""


def save_figures(contents: ReportContents, folder: Path, measures: Collection[str]) -> tuple[Path, ...]:
    """Write the plots and the tables of measures and of labels, and return their files.

    Args:
        contents: what the page shows; its runs are still open.
        folder: is made if it is missing; files of the same names are replaced.
        measures: measures to write, by name or title, whose differences are tested together without those of
            others; if empty, all, with the figures of labels and trainings.

    Raises:
        ConfigError: if a measure is in none of the runs.
    """
    chosen = Chosen(_chosen(contents, measures), bool(measures))
    comparison = _comparison(contents, chosen)
    with os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    if contents.install is None:
        with plots_saved_to(folder) as files:
            _draw(contents, comparison, chosen)
    else:
        warn(f"no plots are written: matplotlib is not installed; run: {contents.install}")
    tables = list(_tables(contents, comparison, chosen))
    folders = (section.source.folder for section in contents.runs)
    said = "; ".join(dict.fromkeys(filter(None, map(made_up_in, folders))))
    for table, against in tables:
        made_up = f"% made up: {said}\n" if said else ""
        texts = {"md": f"{table.markdown}{against}", "csv": table.csv(said), "tex": f"{made_up}{table.latex}"}
        for ending, text in texts.items():
            if table.rows:
                file = folder / f"{table.prefix}{TABLE}.{ending}"
                with os_errors(file):
                    file.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(file, text)
                files.append(file)
    for section in () if measures else contents.runs:
        prefix, against = _prefix(contents, section, chosen), _against(contents, section)
        files += save_labels(section.source.folder, folder, prefix, against)
    if not any(file.suffix == ".csv" for file in files):
        warn("no table is written: the report has neither measures of an evaluation nor preferences")
    return tuple(files)


def _comparison(contents: ReportContents, chosen: Chosen) -> GroupComparison | None:
    """Return the comparison of the page or, of chosen measures, one whose tests are theirs alone."""
    if contents.comparison is None or not chosen.is_family:
        return contents.comparison
    series = {section.source.label: held_out_series(section.source) for section in contents.runs}
    results = {section.source.label: section.results for section in contents.runs if section.results}
    groups = contents.comparison.groups
    return compare_groups(groups, series, results, FigureBook(), chosen.measures)


def _tables(
    contents: ReportContents, comparison: GroupComparison | None, chosen: Chosen
) -> Iterator[tuple[MeasuresTable, str]]:
    """Yield the tables of measures, what is about all runs first, each with what speaks against it."""
    if comparison is not None:
        yield comparison_table(comparison, chosen), _against(contents)
        for group in comparison.groups:
            if len(group.runs) > 1:
                own = (
                    seeds_table(group, chosen),
                    prompted_table(group.runs, pooled_label(group), chosen, f"{group.key}-"),
                )
                yield from ((table, _against(contents)) for table in own if table)
    for section in contents.runs:
        run, prefix = section.source, _prefix(contents, section, chosen)
        own = run_table(section, chosen, prefix), prompted_table((run,), run.label, chosen, prefix)
        yield from ((table, _against(contents, section)) for table in own if table)


def _against(contents: ReportContents, section: RunSection | None = None) -> str:
    """Return what speaks against the numbers of a table, to end its Markdown: every alarm of the page."""
    return "".join(f"\n{line}\n" for line in contents.against(section))


def chosen_titles(contents: ReportContents, measures: Collection[str]) -> tuple[str, ...]:
    """Return the titles of the measures that are named, by name or title, in the order of the page."""
    named = _chosen(contents, measures)
    return tuple(title for name, title in _known(contents).items() if name in named)


def _known(contents: ReportContents) -> dict[str, str]:
    """Return the titles of all measures by name."""
    known: dict[str, str] = {}
    for section in contents.runs:
        known |= {row.measure: row.title for row in (section.results.rows if section.results else ())}
    if contents.comparison is not None:
        known |= {row.measure: row.title for row in contents.comparison.rows}
    return known


def _chosen(contents: ReportContents, measures: Collection[str]) -> set[str]:
    """Return the names of the measures to write: all, or those that are named."""
    known = _known(contents)
    if not measures:
        return set(known)
    found: set[str] = set()
    for wanted in measures:
        own = {name for name, title in known.items() if wanted in (name, title)}
        if not own:
            raise ConfigError(f"no measure {wanted!r}", where="--measures", accepted=one_of(known, wanted))
        found |= own
    return found


def _prefix(contents: ReportContents, section: RunSection, chosen: Chosen) -> str:
    """Return what the names of a run's files begin with: nothing for a single run, else its short name.

    Of chosen measures, the files of each of several runs are in a folder of their own.
    """
    if len(contents.runs) == 1:
        return ""
    return f"{f'{FOLDER_OF_RUNS}/' if chosen.is_family else ''}{contents.keys[section.source.label]}-"


def _draw(contents: ReportContents, comparison: GroupComparison | None, chosen: Chosen) -> None:
    """Draw all plots again, each under the name of its file; of chosen measures, those of measures alone."""
    book = FigureBook()
    for section in contents.runs:
        place, results = _prefix(contents, section, chosen), section.results
        if results is not None:
            results = replace(results, rows=family_rows(section, chosen))
        run = section.source
        if chosen.is_family:
            measures_plots(results, f"{place}run")
            continue
        run_plots(run, f"{place}run", results, section.loop, held_out_series(run), book)
        label_plots(f"{place}run", section.labels, section.quality)
        for training in section.trainings:
            curves_plot(training.log, f"{place}training-{training.log.name}")
            name = f"{place}training-{training.log.name}-reliability"
            reliability_plot(training.log.calibration, name, f"Calibration of {training.log.name}")
    for training in () if chosen.is_family else contents.trainings:
        curves_plot(training.log, f"training-{'-'.join(training.log.name.split('/'))}")
    for variant in comparison.variants if comparison else ():
        assert comparison is not None
        rows = [row for row in comparison.of(variant) if row.measure in chosen.measures]
        groups_plot(rows, f"{COMPARED}{variant}")
