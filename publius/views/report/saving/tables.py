"""The measures of a report as a table in Markdown, for a paper, and in CSV, with every number in full."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from evaluation.config import BASE
from evaluation.presentation import EvaluationMetrics
from publius.stages.variants import PROMPTED
from publius.views.report.comparing.groups import GroupCell, GroupComparison, RunGroup
from publius.views.report.comparing.seeds import measured_against_prompted, measured_over_seeds
from publius.views.report.contents import RunSection
from publius.views.report.figures import Figure, FigureBook
from publius.views.report.reading.results import MeasureRow, ResultCell, measure_rows
from publius.views.report.reading.sources import RunSource

_HYPHEN = re.compile(r"(?<![\w.])-(?=[\d.])")
"""A minus sign before a number, in a cell."""
_COLUMNS = (
    *("variant", "measure", "title", "group", "unit", "value", "low", "high", "n"),
    *("difference", "difference_low", "difference_high", "beyond_noise", "not_compared"),
    *("difference_pointwise_low", "difference_pointwise_high", "p_value", "p_value_adjusted"),
)


@dataclass(frozen=True)
class MeasuresTable:
    """One table."""

    prefix: str
    """What the names of its files begin with."""
    titles: tuple[tuple[str, ...], ...]
    """Headings in Markdown, one for each part."""
    parts: tuple[tuple[str, Sequence[Sequence[str]]], ...]
    """The parts in Markdown: a title, and rows of cells."""
    rows: tuple[tuple[object, ...], ...]
    """Rows of the CSV."""
    note: str
    """What the numbers mean."""

    @property
    def markdown(self) -> str:
        """The table in Markdown."""
        lines = [self.note]
        for heading, (title, rows) in zip(self.titles, self.parts, strict=True):
            lines += ["", f"**{title}**", ""] if title else [""]
            lines += [_line(heading), _line(["---"] + ["---:"] * (len(heading) - 1)), *map(_line, rows)]
        return "\n".join(lines) + "\n"

    @property
    def latex(self) -> str:
        """The table in LaTeX, for the package booktabs; what it means is a comment above it."""
        lines = [f"% {self.note}", "% needs \\usepackage{booktabs}"]
        for heading, (title, rows) in zip(self.titles, self.parts, strict=True):
            lines += [f"% {title}"] if title else []
            lines += [f"\\begin{{tabular}}{{l{'r' * (len(heading) - 1)}}}", "\\toprule", _latex_line(heading)]
            lines += ["\\midrule", *map(_latex_line, rows), "\\bottomrule", "\\end{tabular}"]
        return "\n".join(" ".join(line.splitlines()) for line in lines) + "\n"

    def csv(self, made_up: str = "") -> str:
        """Return the table in CSV, with shares as fractions.

        Args:
            made_up: what the scripted engine made up, in a last column of its own; none if empty.
        """
        more = (made_up,) if made_up else ()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow((*_COLUMNS, *(("made_up",) if made_up else ())))
        writer.writerows((*row, *more) for row in self.rows)
        return text.getvalue()


def comparison_table(comparison: GroupComparison, measures: Collection[str]) -> MeasuresTable:
    """Return the measures of all groups, with differences from the first one."""
    keys = [group.key for group in comparison.groups]
    heading = ("measure", *keys, *(f"{key} − {keys[0]}" for key in keys[1:]))
    parts, rows = [], []
    for variant in comparison.variants:
        own = [row for row in comparison.of(variant) if row.measure in measures]
        lines = [(row.title, *map(_value, row.cells), *map(_difference, row.cells[1:])) for row in own]
        if lines:
            parts.append((variant, lines))
        for row in own:
            rows += [_row(variant, row.measure, row.title, cell.group, cell) for cell in row.cells if cell]
    named = [
        f"{group.key}: {group.name}, {', '.join(run.label for run in group.runs)}"
        for group in comparison.groups
    ]
    note = f"{'; '.join(named)}. {_INTERVALS} * differs from {keys[0]} by more than noise."
    return MeasuresTable("", tuple(heading for _ in parts), tuple(parts), tuple(rows), note)


_INTERVALS = (
    "95 % intervals over prompts: of values each by itself (pointwise); of differences, paired by prompt, "
    "together for all that were tested with them (simultaneous), but for those without a p-value in the CSV."
)


def run_table(section: RunSection, measures: Collection[str], prefix: str) -> MeasuresTable:
    """Return the measures of a run's variants, with differences from the model before training."""
    results = section.results
    rows, variants = (results.rows, results.variants) if results else ((), ())
    return _evaluation_table(section.source.label, variants, rows, measures, prefix)


def seeds_table(group: RunGroup, measures: Collection[str]) -> MeasuresTable | None:
    """Return the measures of a group of seeds, with differences from the model before training.

    Returns:
        None if the group has one run, or a run that was not evaluated.
    """
    measured = measured_over_seeds(group.runs) if len(group.runs) > 1 else None
    if measured is None:
        return None
    found = EvaluationMetrics.of(measured.metrics)
    rows = measure_rows(group.runs[0], found, group.key, FigureBook())
    return _evaluation_table(pooled_label(group), found.variants, rows, measures, f"{group.key}-")


def pooled_label(group: RunGroup) -> str:
    """Return what a table calls the seeds of a group as one."""
    return f"{group.key}: means over {len(group.runs)} seeds, {', '.join(run.label for run in group.runs)}"


def prompted_table(
    runs: Sequence[RunSource], label: str, measures: Collection[str], prefix: str
) -> MeasuresTable | None:
    """Return the measures of the trained models, with differences from the prompted one.

    Args:
        runs: one run, or runs that differ only in their seed.
        label: what the table calls them.
        measures: names of the measures to write.
        prefix: what the names of the files of these runs begin with.

    Returns:
        None if nothing is trained, or the prompted model was not measured.
    """
    found = measured_against_prompted(runs)
    if found is None:
        return None
    rows = measure_rows(runs[0], found, label, FigureBook())
    return _evaluation_table(
        label, found.variants, rows, measures, f"{prefix}against-{PROMPTED}-", reference=PROMPTED
    )


def _evaluation_table(
    label: str,
    variants: Sequence[str],
    measured: Sequence[MeasureRow],
    measures: Collection[str],
    prefix: str,
    reference: str = BASE,
) -> MeasuresTable:
    """Return the table; `reference` is the name of the variant in the place of `base`."""
    found = [row for row in measured if row.measure in measures]
    others = [variant for variant in variants if variant != BASE]
    named = [reference if variant == BASE else variant for variant in variants]
    heading = ("measure", *named, *(f"{variant} − {reference}" for variant in others))
    lines = [
        (row.title, *(_value(row.of(v)) for v in variants), *(_difference(row.of(v)) for v in others))
        for row in found
    ]
    rows = [
        _row(reference if cell.variant == BASE else cell.variant, row.measure, row.title, label, cell)
        for row in found
        for cell in row.cells
        if cell
    ]
    note = f"{label}. {_INTERVALS} * differs from {reference} by more than noise."
    return MeasuresTable(prefix, (heading,), (("", lines),), tuple(rows), note)


def _row(
    variant: str, measure: str, title: str, group: str, cell: ResultCell | GroupCell
) -> tuple[object, ...]:
    value, delta = cell.value, cell.delta
    low, high = delta.ends if delta else (None, None)
    beyond = "" if cell.outcome is None else str(cell.is_beyond_noise).lower()
    difference = (delta.value if delta else None, low, high, beyond, getattr(cell, "not_compared", ""))
    tested = delta or (value if cell.adjusted_p is not None else None)  # a win rate is tested itself
    p_values = (tested.p_value if tested else None, cell.adjusted_p)
    more = (*((delta.low, delta.high) if delta else (None, None)), *p_values)
    return (variant, measure, title, group, value.unit, value.value, *value.ends, value.n, *difference, *more)


def _value(cell: ResultCell | GroupCell | None) -> str:
    return "" if cell is None else _with_interval(cell.value)


def _difference(cell: ResultCell | GroupCell | None) -> str:
    if cell is None or cell.delta is None:
        return "not compared" if getattr(cell, "not_compared", "") else ""
    return _with_interval(cell.delta) + ("*" if cell.is_beyond_noise else "")


def _with_interval(figure: Figure) -> str:
    return f"{figure.text} ({figure.interval})" if figure.interval else figure.text


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


_IN_LATEX = {
    "\\": r"\textbackslash{}",
    **{one: f"\\{one}" for one in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\N{MINUS SIGN}": "$-$",
}


def _latex_line(cells: Sequence[str]) -> str:
    """Return a row of a LaTeX table; what LaTeX would read as a command is text."""
    texts = ("".join(_IN_LATEX.get(one, one) for one in " ".join(cell.split())) for cell in cells)
    return " & ".join(_signed(text) for text in texts) + r" \\"


def _signed(text: str) -> str:
    """Return a cell with minus signs before numbers, where LaTeX would set a hyphen."""
    return _HYPHEN.sub("$-$", text)
