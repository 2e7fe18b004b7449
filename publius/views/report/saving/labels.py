"""The figures of a run's labels as tables: in Markdown, and in CSV with every number in full."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from core.store.files import write_atomic
from publius.runs.pairs.filters import PreferenceFilter
from publius.views.looking.reading import read_overview
from publius.views.looking.tidy import SUMMARY_COLUMNS, SummaryFigure, summary_figures

_TABLE = "labels"
_NOTE = "Shares with 95 % Wilson intervals, which take pairs for independent. Ties are no part of `for`."


def save_labels(run: Path, to: Path, prefix: str, caution: str = "") -> list[Path]:
    """Write the figures of a run's labels, and return the files; none if it has no preferences.

    Args:
        run: a run folder.
        to: the folder for the files.
        prefix: what the names of the files begin with.
        caution: Markdown about what speaks against the numbers, which ends the file.
    """
    overview = read_overview(run, PreferenceFilter(), 0)
    if not overview.figures.all.pairs:
        return []
    figures, files = list(summary_figures(overview)), []
    texts = {"md": f"{run.name}. {_NOTE}\n{_markdown(figures)}{caution}", "csv": _csv(figures)}
    for ending, text in texts.items():
        file = to / f"{prefix}{_TABLE}.{ending}"
        write_atomic(file, text)
        files.append(file)
    return files


def _csv(figures: Sequence[SummaryFigure]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SUMMARY_COLUMNS)
    writer.writerows(figures)
    return text.getvalue()


def _markdown(figures: Sequence[SummaryFigure]) -> str:
    lines: list[str] = []
    for group, own in groupby(figures, key=lambda figure: figure.group):
        lines += ["", f"**{group}**", "", "| name | measure | value | n |", "|---|---|---:|---:|"]
        lines += [_line(figure) for figure in own]
    return "\n".join(lines) + "\n"


def _line(figure: SummaryFigure) -> str:
    value = f"{figure.value:,.3f}" if figure.value % 1 or figure.n is not None else f"{figure.value:,.0f}"
    if figure.low is not None:
        value = f"{value} ({figure.low:.3f} to {figure.high:.3f})"
    cells = (figure.name, figure.measure, value, "" if figure.n is None else f"{figure.n:,}")
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
