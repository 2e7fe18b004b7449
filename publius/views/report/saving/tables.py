"""The measures of a report as a table in Markdown, for a paper, and in CSV, with every number in full."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from core.notices import counted
from evaluation.config import BASE
from evaluation.drift.names import DISTINCT
from evaluation.metrics import MIN_PROMPTS
from evaluation.presentation import EvaluationMetrics
from publius.stages.variants import PROMPTED
from publius.views.report.comparing.groups import ComparedMeasure, GroupCell, GroupComparison, RunGroup
from publius.views.report.comparing.seeds import (
    measured_against_prompted,
    measured_in_family,
    measured_over_seeds,
)
from publius.views.report.contents import RunSection
from publius.views.report.figures import Figure, FigureBook
from publius.views.report.reading.results import MeasureRow, ResultCell, measure_rows
from publius.views.report.reading.sources import RunSource

_Cell = ResultCell | GroupCell

_HYPHEN = re.compile(r"(?<![\w.])-(?=[\d.])")
"""A minus sign before a number, in a cell."""
_COLUMNS = (
    *("variant", "measure", "title", "group", "unit", "value", "low", "high", "n"),
    *("difference", "difference_low", "difference_high", "beyond_noise", "not_compared"),
    *("difference_pointwise_low", "difference_pointwise_high", "p_value", "p_value_adjusted"),
    *("difference_interval", "reason"),
)
_SIMULTANEOUS, _POINTWISE = "simultaneous", "pointwise"


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


@dataclass(frozen=True)
class Chosen:
    """The measures of the tables."""

    measures: Collection[str]
    """Names of the measures."""
    is_family: bool = False
    """True if they were chosen: their differences are then tested together, without those of others."""

    @property
    def family(self) -> Collection[str] | None:
        """The measures whose differences alone are tested together; None for all of an evaluation."""
        return self.measures if self.is_family else None

    def corrected(self, shown: int, compared: str, tests: Sequence[tuple[str, Sequence[_Cell]]]) -> str:
        """Return in a sentence what the differences of a table are corrected over.

        Args:
            shown: number of measures in the table.
            compared: what is compared in each, such as `2 groups`.
            tests: the cells whose differences are tested together, with a name for those of each test.
        """
        parts = []
        for name, cells in tests:
            tested = [cell for cell in cells if _tested(cell) is not None]
            if tested:
                changed = sum(cell.outcome != "same" for cell in tested)
                parts.append(f"{name}{changed} of {counted(len(tested), 'difference')}")
        each = ", for each model by itself" if len(tests) > 1 else ""
        over = f"the {counted(shown, 'measure')} chosen" if self.is_family else "all measures"
        done = f"Differences are corrected over {over} x {compared}{each}"
        if not parts:
            return f"{done}: no difference has enough prompts to be tested."
        return f"{done}; those that changed on a prompt count as tests ({', '.join(parts)} here)."


def comparison_table(comparison: GroupComparison, chosen: Chosen) -> MeasuresTable:
    """Return the measures of all groups, with differences from the first one."""
    keys = [group.key for group in comparison.groups]
    heading = ("measure", *keys, *(f"{key} − {keys[0]}" for key in keys[1:]))
    heading += (_INTERVAL,) if len(keys) > 1 else ()
    parts, rows, tests = [], [], []
    for variant in comparison.variants:
        own = [row for row in comparison.of(variant) if row.measure in chosen.measures]
        lines = [
            (
                row.title,
                *map(_value, row.cells),
                *map(_difference, row.cells[1:]),
                *((_kinds(row.cells[1:]),) if len(keys) > 1 else ()),
            )
            for row in own
        ]
        if lines:
            parts.append((variant, lines))
            tests.append((f"{variant} ", [cell for row in own for cell in row.cells[1:] if cell]))
        for row in own:
            rows += [
                _row(variant, row.measure, row.title, cell.group, cell, _why_uncompared(row, cell, keys[0]))
                for cell in row.cells
                if cell
            ]
    named = [
        f"{group.key}: {group.name}, {', '.join(run.label for run in group.runs)}"
        for group in comparison.groups
    ]
    note = f"{'; '.join(named)}. {_INTERVALS}"
    if len(keys) > 1:
        shown = len({row.measure for row in comparison.rows if row.measure in chosen.measures})
        corrected = chosen.corrected(shown, counted(len(keys) - 1, "group"), tests)
        note += f" {corrected} * differs from {keys[0]} by more than noise."
        if DISTINCT in {row.measure for row in comparison.rows if row.measure in chosen.measures}:
            note += f" {_AT_EQUAL_LENGTH}"
    return MeasuresTable("", tuple(heading for _ in parts), tuple(parts), tuple(rows), note)


def _why_uncompared(row: ComparedMeasure, cell: GroupCell, first: str) -> str:
    """Return why a value has no difference from the first group; empty if it has, or needs none."""
    if cell.delta is not None or cell.group == first or cell.not_compared:
        return ""
    return "counted at the length of each run's models" if row.measure == DISTINCT else "only means are known"


_INTERVAL = "interval of difference"
_INTERVALS = (
    "95 % intervals over prompts: of values each by itself (pointwise); of differences, paired by prompt, "
    "as the last column says: together for all that were tested with them (simultaneous), or each by itself "
    "(pointwise), where none changed or the prompts are too few to test."
)
_AT_EQUAL_LENGTH = (
    "Distinct word pairs are counted at equal length: each run reads of each prompt's answers as many words "
    "as the shortest of its own models' has. The same answers therefore have other values in a run whose "
    "models answer at other lengths, and groups are not compared by them: compare the models of one run, in "
    "its table."
)


def family_rows(section: RunSection, chosen: Chosen) -> tuple[MeasureRow, ...]:
    """Return the measures of a run that are chosen, tested together with all others or for themselves."""
    if section.results is None:
        return ()
    found = measured_in_family(section.source, chosen.measures) if chosen.is_family else None
    if found is None:
        return tuple(row for row in section.results.rows if row.measure in chosen.measures)
    return measure_rows(section.source, found, section.source.label, FigureBook())


def run_table(section: RunSection, chosen: Chosen, prefix: str) -> MeasuresTable:
    """Return the measures of a run's variants, with differences from the model before training."""
    variants = section.results.variants if section.results else ()
    rows = family_rows(section, chosen)
    return _evaluation_table(section.source.label, variants, rows, chosen, prefix)


def seeds_table(group: RunGroup, chosen: Chosen) -> MeasuresTable | None:
    """Return the measures of a group of seeds, with differences from the model before training.

    Returns:
        None if the group has one run, or a run that was not evaluated.
    """
    measured = measured_over_seeds(group.runs, chosen.family) if len(group.runs) > 1 else None
    if measured is None:
        return None
    found = EvaluationMetrics.of(measured.metrics)
    rows = measure_rows(group.runs[0], found, group.key, FigureBook())
    return _evaluation_table(pooled_label(group), found.variants, rows, chosen, f"{group.key}-")


def pooled_label(group: RunGroup) -> str:
    """Return what a table calls the seeds of a group as one."""
    return f"{group.key}: means over {len(group.runs)} seeds, {', '.join(run.label for run in group.runs)}"


def prompted_table(
    runs: Sequence[RunSource], label: str, chosen: Chosen, prefix: str
) -> MeasuresTable | None:
    """Return the measures of the trained models, with differences from the prompted one.

    Args:
        runs: one run, or runs that differ only in their seed.
        label: what the table calls them.
        chosen: the measures to write.
        prefix: what the names of the files of these runs begin with.

    Returns:
        None if nothing is trained, or the prompted model was not measured.
    """
    found = measured_against_prompted(runs, chosen.family)
    if found is None:
        return None
    rows = measure_rows(runs[0], found, label, FigureBook())
    return _evaluation_table(
        label, found.variants, rows, chosen, f"{prefix}against-{PROMPTED}-", reference=PROMPTED
    )


def _evaluation_table(
    label: str,
    variants: Sequence[str],
    measured: Sequence[MeasureRow],
    chosen: Chosen,
    prefix: str,
    reference: str = BASE,
) -> MeasuresTable:
    """Return the table; `reference` is the name of the variant in the place of `base`."""
    found = [row for row in measured if row.measure in chosen.measures]
    others = [variant for variant in variants if variant != BASE]
    named = [reference if variant == BASE else variant for variant in variants]
    heading = ("measure", *named, *(f"{variant} − {reference}" for variant in others))
    heading += (_INTERVAL,) if others else ()
    lines = [
        (
            row.title,
            *(_value(row.of(v)) for v in variants),
            *(_difference(row.of(v)) for v in others),
            *((_kinds([row.of(v) for v in others]),) if others else ()),
        )
        for row in found
    ]
    rows = [
        _row(
            reference if cell.variant == BASE else cell.variant,
            row.measure,
            row.title,
            label,
            cell,
            f"no value of {reference}" if cell.variant != BASE and row.of(BASE) is None else "",
        )
        for row in found
        for cell in row.cells
        if cell
    ]
    cells = [cell for row in found for cell in row.cells if cell and cell.variant != BASE]
    corrected = chosen.corrected(len(found), counted(len(others), "model"), [("", cells)])
    note = f"{label}. {_INTERVALS} {corrected} * differs from {reference} by more than noise."
    return MeasuresTable(prefix, (heading,), (("", lines),), tuple(rows), note)


def _row(
    variant: str, measure: str, title: str, group: str, cell: _Cell, reason: str = ""
) -> tuple[object, ...]:
    value, delta = cell.value, cell.delta
    low, high = _ends(cell)
    beyond = "" if cell.outcome is None else str(cell.is_beyond_noise).lower()
    difference = (delta.value if delta else None, low, high, beyond, getattr(cell, "not_compared", ""))
    tested = _tested(cell)
    p_values = (tested.p_value if tested else None, cell.adjusted_p)
    pointwise = (None, None) if delta is None or _is_same_model(cell) else (delta.low, delta.high)
    more = (*pointwise, *p_values, _kind(cell), reason or _reason(cell))
    return (variant, measure, title, group, value.unit, value.value, *value.ends, value.n, *difference, *more)


def _tested(cell: _Cell) -> Figure | None:
    """Return the figure that is tested: a win rate itself, else a difference; None without a test."""
    tested = cell.delta or (cell.value if cell.adjusted_p is not None else None)
    return tested if tested and tested.p_value is not None else None


def _is_same_text(cell: _Cell) -> bool:
    return isinstance(cell, GroupCell) and cell.is_same_text


def _is_same_model(cell: _Cell) -> bool:
    return isinstance(cell, GroupCell) and cell.is_same_model


def _ends(cell: _Cell) -> tuple[float | None, float | None]:
    return (None, None) if cell.delta is None or _is_same_model(cell) else cell.delta.ends


def _kind(cell: _Cell) -> str:
    """Return which interval a difference has; empty without one."""
    low, _ = _ends(cell)
    if cell.delta is None or low is None:
        return ""
    return _POINTWISE if cell.delta.simultaneous_low is None else _SIMULTANEOUS


def _kinds(cells: Sequence[_Cell | None]) -> str:
    """Return which intervals the differences of a row have, and why they are not simultaneous."""
    found = []
    for cell in cells:
        if cell is None or cell.delta is None:
            continue
        kind, reason = _kind(cell), _reason(cell)
        found.append(f"{kind or 'none'} ({reason})" if reason and kind != _SIMULTANEOUS else kind or "none")
    return "; ".join(dict.fromkeys(found))


def _reason(cell: _Cell) -> str:
    """Return why a difference is no test, or has no p-value; empty for a test, and without a difference."""
    delta = cell.delta
    if delta is None:
        return ""
    if _is_same_model(cell):
        return "identical answers of the same model"
    if delta.p_value is None:
        few = delta.n is not None and delta.n < MIN_PROMPTS
        return f"too few prompts: {delta.n} of at least {MIN_PROMPTS}" if few else "not tested"
    if _is_same_text(cell):
        return "identical answers"
    if cell.outcome == "same":
        return "no difference on any prompt"
    return "no values by prompt: the seeds' largest p-value" if delta.low is None else ""


def _value(cell: _Cell | None) -> str:
    return "" if cell is None else _with_interval(cell.value)


def _difference(cell: _Cell | None) -> str:
    if cell is None or cell.delta is None:
        return "not compared" if getattr(cell, "not_compared", "") else ""
    if _is_same_model(cell):
        return f"{cell.delta.text}, identical answers"
    same = ", identical answers" if _is_same_text(cell) else ""
    return _with_interval(cell.delta) + ("*" if cell.is_beyond_noise else "") + same


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
