"""The evaluation of a run as rows of measures and variants, whatever measures it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.records import Metric
from evaluation.config import BASE, STEERED
from evaluation.judged.names import JUDGED
from evaluation.measures import COMPLIANCE
from evaluation.presentation import BEYOND_NOISE, ChangeOutcome, EvaluationMetrics, is_steered, title_of
from evaluation.report import out_of_scope_principles, unmeasured_principles
from evaluation.win_rate import WIN_RATE
from publius.stages.variants import PROMPTED, UNTRAINED
from publius.views.report.figures import Figure, FigureBook
from publius.views.report.reading.extras import ExtraTable, extra_tables, read_json
from publius.views.report.reading.gates import ShownGate, read_gates
from publius.views.report.reading.sources import RunSource

_SHOWN_ELSEWHERE = frozenset(
    {
        "schema_version",
        "variants",
        "prompts",
        "left_out",
        "metrics",
        "gates",
        "gates_not_checked",
        "prompts_trained_on",
    }
)
_WORDS: Mapping[ChangeOutcome, str] = {
    "better": "better",
    "worse": "worse",
    "other": "changed",
    "noise": "within noise",
    "same": "unchanged",
}


@dataclass(frozen=True)
class ResultCell:
    """One measure of one variant."""

    variant: str
    value: Figure
    delta: Figure | None = None
    """Paired difference from `base`."""
    outcome: ChangeOutcome | None = None
    adjusted_p: float | None = None
    """The p-value of the difference, adjusted for all differences of the evaluation (Holm)."""

    @property
    def is_beyond_noise(self) -> bool:
        """True if the difference from `base` is more than chance explains."""
        return self.outcome in BEYOND_NOISE

    @property
    def outcome_text(self) -> str:
        """The outcome in words; empty if there is none."""
        return _WORDS[self.outcome] if self.outcome else ""


@dataclass(frozen=True)
class MeasureRow:
    """One measure of all variants."""

    measure: str
    title: str
    unit: str
    is_steered: bool
    """True if it shows how well the constitution is followed, False for a side effect."""
    cells: tuple[ResultCell | None, ...]
    """One for each variant; None if the variant does not have the measure."""
    about: str = ""
    """The principle that the measure checks."""

    def of(self, variant: str) -> ResultCell | None:
        """Return the cell of a variant, or None."""
        return next((cell for cell in self.cells if cell and cell.variant == variant), None)


@dataclass(frozen=True)
class Results:
    """The evaluation of one run."""

    variants: tuple[str, ...]
    rows: tuple[MeasureRow, ...]
    prompts: Figure
    """Number of held-out prompts."""
    extras: tuple[ExtraTable, ...]
    """Further content of the evaluation's files."""
    gates: tuple[ShownGate, ...] = ()
    unchecked_gates: tuple[str, ...] = ()
    """Gates on metrics that the evaluation does not have."""
    judged: Mapping[str, Any] = field(default_factory=dict)
    """What is known of the judge that rated single answers; empty without one."""
    best_of: tuple[Mapping[str, Any], ...] = ()
    """Points of the best-of-n curve of the reward model, as in `metrics.json`; empty if there is none."""
    trained_on: Mapping[str, Figure] = field(default_factory=dict)
    """Number of the prompts that a variant was trained on, by variant; those without any are left out."""
    unmeasured: tuple[str, ...] = ()
    """Principles that no check and no judge measured."""
    yardsticks: tuple[str, ...] = ()
    """Principles that are only measured."""
    checked: Figure | None = None
    """Number of principles that machine checks measured."""
    unmeasured_count: Figure | None = None
    """Number of `unmeasured`; None if there is none."""
    out_of_scope: tuple[str, ...] = ()
    """Principles with a check that no prompt is in the scope of."""

    @property
    def main(self) -> str | None:
        """The variant that the summary is about: the chosen checkpoint, or the last training."""
        if STEERED in self.variants:
            return STEERED
        trained = [variant for variant in self.variants if variant not in UNTRAINED]
        return trained[-1] if trained else PROMPTED if PROMPTED in self.variants else None

    def row(self, measure: str) -> MeasureRow | None:
        """Return the row of a measure, or None."""
        return next((row for row in self.rows if row.measure == measure), None)

    @property
    def headline(self) -> MeasureRow | None:
        """The measure of the summary: all checks, else the win rate, else the first one."""
        return self.row(COMPLIANCE) or self.row(WIN_RATE) or next(iter(self.rows), None)


_ABOUT_CHECKS = "The mean share of a prompt's machine checks that its answer passes."


def read_results(run: RunSource, book: FigureBook) -> Results | None:
    """Return the evaluation of a run; None if it was not evaluated."""
    folder = run.folder / "eval"
    content = read_json(folder / "metrics.json")
    if not content.get("metrics"):
        return None
    prefix = f"{run.label}.eval"
    metrics = EvaluationMetrics.of(map(_metric, content["metrics"]))
    prompts = book.count(f"{prefix}.prompts", int(content.get("prompts", 0)))
    rows = measure_rows(run, metrics, prefix, book)
    extras = extra_tables(folder, content, prefix, book, _SHOWN_ELSEWHERE)
    unchecked = tuple(map(str, content.get("gates_not_checked", ())))
    gates, judged = read_gates(content, prefix, book), content.get("judged") or {}
    trained_on = {
        variant: book.count(f"{prefix}.{variant}.trained_on", int(count))
        for variant, count in content.get("prompts_trained_on", {}).items()
        if count
    }
    best_of = content.get("drift", {}).get("best_of_n_by_reward", {}).get("points", ())
    unmeasured, out_of_scope = tuple[str, ...](), tuple[str, ...]()
    if run.constitution is not None:
        unmeasured = unmeasured_principles(run.constitution, judged=bool(judged))
        out_of_scope = out_of_scope_principles(run.constitution, metrics.values.values())
    checks = sum(measure.startswith(f"{COMPLIANCE}.") for measure in metrics.measures)
    return Results(
        metrics.variants,
        rows,
        prompts,
        extras,
        gates,
        unchecked,
        judged,
        tuple(best_of),
        trained_on,
        unmeasured,
        run.constitution.yardsticks if run.constitution else (),
        book.count(f"{prefix}.checked", checks) if checks else None,
        book.count(f"{prefix}.unmeasured", len(unmeasured)) if unmeasured else None,
        out_of_scope,
    )


def recorded_metrics(run: RunSource) -> list[Metric]:
    """Return the metrics of a run's evaluation; none if it was not evaluated."""
    return list(map(_metric, read_json(run.folder / "eval" / "metrics.json").get("metrics") or ()))


def measure_rows(
    run: RunSource, metrics: EvaluationMetrics, prefix: str, book: FigureBook
) -> tuple[MeasureRow, ...]:
    """Return the rows of an evaluation, or of several seeds as one.

    Args:
        run: the run, whose constitution names the principles.
        metrics: the metrics of all variants.
        prefix: what the names of the figures begin with.
        book: takes the figures.
    """
    return tuple(_row(run, metrics, measure, prefix, book) for measure in metrics.measures)


def _metric(value: Mapping[str, Any]) -> Metric:
    """Return a metric, without fields that other versions of Publius add to it."""
    return Metric.model_validate({key: value[key] for key in Metric.model_fields if key in value})


def _row(
    run: RunSource, metrics: EvaluationMetrics, measure: str, prefix: str, book: FigureBook
) -> MeasureRow:
    cells: list[ResultCell | None] = []
    for variant in metrics.variants:
        value, delta = metrics.values.get((variant, measure)), metrics.deltas.get((variant, measure))
        if value is None:
            cells.append(None)
            continue
        change = None if delta is None else book.metric(prefix, delta, is_difference=True)
        outcome = metrics.outcome(variant, measure) if variant != BASE else None
        adjusted = metrics.adjusted_p_value(variant, measure)
        cells.append(ResultCell(variant, book.metric(prefix, value), change, outcome, adjusted))
    unit = next(cell.value.unit for cell in cells if cell)
    kind, _, rest = measure.partition(".")
    about = rest.partition(".")[0] if kind in (COMPLIANCE, JUDGED) else measure
    principle = run.constitution and run.constitution.find(about)
    return MeasureRow(
        measure,
        title_of(measure, ""),
        unit,
        is_steered(measure),
        tuple(cells),
        principle.text if principle else _ABOUT_CHECKS if measure == COMPLIANCE else "",
    )
