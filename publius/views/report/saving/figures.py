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
from publius.views.report.contents import ReportContents, RunSection, label_plots, run_plots
from publius.views.report.figures import FigureBook
from publius.views.report.plots.groups import groups_plot
from publius.views.report.plots.labels import reliability_plot
from publius.views.report.plots.paper import plots_saved_to
from publius.views.report.plots.training import curves_plot
from publius.views.report.reading.answers import held_out_series
from publius.views.report.saving.labels import save_labels
from publius.views.report.saving.tables import (
    MeasuresTable,
    comparison_table,
    pooled_label,
    prompted_table,
    run_table,
    seeds_table,
)

_TABLE = "measures"
"""Name of the table of a report's measures; those of single runs begin with it."""


def save_figures(contents: ReportContents, folder: Path, measures: Collection[str]) -> tuple[Path, ...]:
    """Write the plots and the tables of measures and of labels, and return their files.

    Args:
        contents: what the page shows; its runs are still open.
        folder: is made if it is missing; files of the same names are replaced.
        measures: measures to write, by name or title; if empty, all, and the figures of labels.

    Raises:
        ConfigError: if a measure is in none of the runs.
    """
    chosen = _chosen(contents, measures)
    with os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    if contents.install is None:
        with plots_saved_to(folder) as files:
            _draw(contents, chosen)
    else:
        warn(f"no plots are written: matplotlib is not installed; run: {contents.install}")
    tables = list(_tables(contents, chosen))
    folders = (section.source.folder for section in contents.runs)
    said = "; ".join(dict.fromkeys(filter(None, map(made_up_in, folders))))
    for table, against in tables:
        made_up = f"% made up: {said}\n" if said else ""
        texts = {"md": f"{table.markdown}{against}", "csv": table.csv(said), "tex": f"{made_up}{table.latex}"}
        for ending, text in texts.items():
            if table.rows:
                file = folder / f"{table.prefix}{_TABLE}.{ending}"
                write_atomic(file, text)
                files.append(file)
    for section in () if measures else contents.runs:
        prefix, against = _prefix(contents, section), _against(contents, section)
        files += save_labels(section.source.folder, folder, prefix, against)
    if not any(file.suffix == ".csv" for file in files):
        warn("no table is written: the report has neither measures of an evaluation nor preferences")
    return tuple(files)


def _tables(contents: ReportContents, chosen: Collection[str]) -> Iterator[tuple[MeasuresTable, str]]:
    """Yield the tables of measures, what is about all runs first, each with what speaks against it."""
    if contents.comparison is not None:
        yield comparison_table(contents.comparison, chosen), _against(contents)
        for group in contents.comparison.groups:
            if len(group.runs) > 1:
                own = (
                    seeds_table(group, chosen),
                    prompted_table(group.runs, pooled_label(group), chosen, f"{group.key}-"),
                )
                yield from ((table, _against(contents)) for table in own if table)
    for section in contents.runs:
        run, prefix = section.source, _prefix(contents, section)
        own = run_table(section, chosen, prefix), prompted_table((run,), run.label, chosen, prefix)
        yield from ((table, _against(contents, section)) for table in own if table)


def _against(contents: ReportContents, section: RunSection | None = None) -> str:
    """Return what speaks against the numbers of a table, to end its Markdown: every alarm of the page."""
    return "".join(f"\n{line}\n" for line in contents.against(section))


def _chosen(contents: ReportContents, measures: Collection[str]) -> set[str]:
    """Return the names of the measures to write: all, or those that are named."""
    known: dict[str, str] = {}
    for section in contents.runs:
        known |= {row.measure: row.title for row in (section.results.rows if section.results else ())}
    if contents.comparison is not None:
        known |= {row.measure: row.title for row in contents.comparison.rows}
    if not measures:
        return set(known)
    found: set[str] = set()
    for wanted in measures:
        own = {name for name, title in known.items() if wanted in (name, title)}
        if not own:
            raise ConfigError(f"no measure {wanted!r}", where="--measures", accepted=one_of(known, wanted))
        found |= own
    return found


def _prefix(contents: ReportContents, section: RunSection) -> str:
    """Return what the names of a run's files begin with: nothing for a single run, else its short name."""
    return f"{contents.keys[section.source.label]}-" if len(contents.runs) > 1 else ""


def _draw(contents: ReportContents, chosen: Collection[str]) -> None:
    """Draw all plots again, each under the name of its file."""
    book = FigureBook()
    for section in contents.runs:
        place, results = _prefix(contents, section), section.results
        if results is not None:
            results = replace(results, rows=tuple(row for row in results.rows if row.measure in chosen))
        run = section.source
        run_plots(run, f"{place}run", results, section.loop, held_out_series(run), book)
        label_plots(f"{place}run", section.labels, section.quality)
        for training in section.trainings:
            curves_plot(training.log, f"{place}training-{training.log.name}")
            name = f"{place}training-{training.log.name}-reliability"
            reliability_plot(training.log.calibration, name, f"Calibration of {training.log.name}")
    for training in contents.trainings:
        curves_plot(training.log, f"training-{'-'.join(training.log.name.split('/'))}")
    for variant in contents.comparison.variants if contents.comparison else ():
        assert contents.comparison is not None
        rows = [row for row in contents.comparison.of(variant) if row.measure in chosen]
        groups_plot(rows, f"compared-{variant}")
