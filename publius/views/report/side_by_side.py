"""Readings of runs for the studio: the report's comparison and curves, as JSON-able values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from publius.views.report.comparing.groups import (
    ComparedMeasure,
    GroupCell,
    GroupComparison,
    RunGroup,
    compare_groups,
    group_runs,
)
from publius.views.report.comparing.preferences import (
    PreferenceShift,
    flips_as_json,
    group_shifts,
)
from publius.views.report.figures import Figure, FigureBook
from publius.views.report.reading.answers import AnswerData, held_out_series
from publius.views.report.reading.logs import read_training, run_trainings, thinned
from publius.views.report.reading.meanings import metric_meaning
from publius.views.report.reading.results import MeasureRow, ResultCell, Results, read_results
from publius.views.report.reading.sources import RunSource, open_sources
from publius.views.report.summary import Summary, summarise
from publius.views.report.writing import DEFAULT_PROMPTS


class ReportViews:
    """The readings of runs that `publius.studio.runs.views.RunViews` describes."""

    def side_by_side(self, folders: Sequence[Path]) -> dict[str, Any]:
        """Return runs with their prompts and answers, results, groups, movements and flipped preferences.

        Raises:
            RunStateError: a folder is not a run.
            DataError: a record file is damaged.
        """
        book, data = FigureBook(), AnswerData(DEFAULT_PROMPTS)
        with open_sources(folders) as sources:
            runs = sources.runs
            for run in runs:
                data.add_run(run)
            results = {run.label: found for run in runs if (found := read_results(run, book))}
            groups = group_runs(runs)
            shifts = [
                shift
                for group in group_shifts(groups, book)
                if len(groups) == 1 or not group.is_noise
                for shift in group.shifts
            ]
            comparison = None
            if len(runs) > 1:
                series = {run.label: held_out_series(run) for run in runs}
                comparison = compare_groups(groups, series, results, book)
            flips = [flip for shift in shifts for flip in flips_as_json(shift, data)]
            keys = {run.label: group.key_of(run) for group in groups for run in group.runs}
            return {
                "runs": [_run_json(run, keys[run.label], results.get(run.label)) for run in runs],
                "groups": [_group_json(group) for group in groups],
                "measures": _measures_json(comparison),
                "prompts": {
                    variant: figure.value
                    for variant, figure in (comparison.prompts if comparison else {}).items()
                },
                "shifts": [_shift_json(shift) for shift in shifts],
                "flips": flips,
                "data": {**data.as_json(), "found": {kind: len(ids) for kind, ids in data.found.items()}},
                "shown": {kind: data.shown(kind) for kind in data.found},
            }

    def training_curves(self, folder: Path) -> list[dict[str, Any]]:
        """Return the metrics of each training of a run over its steps, unfinished trainings too."""
        trainings = []
        for name, place in run_trainings(folder):
            log = read_training(name, name, place, FigureBook())
            curves = [{**asdict(thinned(curve)), "about": metric_meaning(curve.name)} for curve in log.curves]
            trainings.append(
                {
                    "name": name,
                    "finished": log.is_finished,
                    "curves": curves,
                    "figures": {title: figure.text for title, figure in log.figures.items()},
                    "warnings": list(log.warnings),
                }
            )
        return trainings


def _run_json(run: RunSource, key: str, results: Results | None) -> dict[str, Any]:
    summary = summarise(results) if results else None
    return {
        "label": run.label,
        "run": run.folder.name,
        "key": key,
        "seed": run.seed,
        "constitution": run.constitution.name if run.constitution else None,
        "principles": {p.id: p.text for p in run.constitution.principles} if run.constitution else {},
        "problem": run.problem,
        "summary": _summary_json(summary),
        "variants": list(results.variants) if results else [],
        "rows": [_row_json(row) for row in results.rows] if results else [],
        "gates": [
            {
                "name": gate.name,
                "limit": gate.limit,
                "outcome": gate.outcome,
                "value": _figure_json(gate.value),
                "blocks": gate.blocks,
            }
            for gate in (results.gates if results else ())
        ],
    }


def _summary_json(summary: Summary | None) -> str:
    parts = (*summary.claim, " ", *summary.verdict) if summary else ()
    return "".join(part.text if isinstance(part, Figure) else part for part in parts)


def _row_json(row: MeasureRow) -> dict[str, Any]:
    cells = [_cell_json(cell) if cell else None for cell in row.cells]
    return {"measure": row.measure, "title": row.title, "about": row.about, "cells": cells}


def _cell_json(cell: ResultCell | GroupCell) -> dict[str, Any]:
    return {
        "value": _figure_json(cell.value),
        "delta": _figure_json(cell.delta) if cell.delta else None,
        "outcome": cell.outcome,
    }


def _figure_json(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "text": figure.text, "interval": figure.interval, "n": figure.n}


def _group_json(group: RunGroup) -> dict[str, Any]:
    return {
        "key": group.key,
        "name": group.name,
        "runs": [run.label for run in group.runs],
        "settings": [asdict(change) for change in group.settings],
        "changes": [
            {
                "kind": change.kind,
                "field": change.field,
                "principle": change.principle,
                "before": change.before,
                "after": change.after,
            }
            for change in group.changes
        ],
    }


def _measures_json(comparison: GroupComparison | None) -> list[dict[str, Any]]:
    return [_measure_json(row) for row in comparison.rows] if comparison else []


def _compared_json(cell: GroupCell) -> dict[str, Any]:
    return {**_cell_json(cell), "not_compared": cell.not_compared}


def _measure_json(row: ComparedMeasure) -> dict[str, Any]:
    return {
        "variant": row.variant,
        "measure": row.measure,
        "title": row.title,
        "paired": row.is_paired,
        "cells": [_compared_json(cell) if cell else None for cell in row.cells],
    }


def _shift_json(shift: PreferenceShift) -> dict[str, Any]:
    def text(figure: Figure | None) -> str | None:
        return None if figure is None else figure.text

    figures = shift.figures
    counts: Mapping[str, float] = {name: figure.value for name, figure in figures.by_principle}
    return {
        "before": shift.before,
        "after": shift.after,
        "compared": figures.compared.value,
        "flipped": figures.flipped.value,
        "share": text(figures.share),
        "mean_change": text(figures.mean_change),
        "only": [figure.value for figure in figures.only],
        "by_principle": counts,
        "names": dict(figures.names),
    }
