"""Reports on a reward model: `reward_report.md` and `reward_metrics.json`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter

from core.records import SCHEMA_VERSION, Metric
from core.statistics.bootstrap import RESAMPLES
from core.text.documents import code_cell, document_template
from evaluation.presentation import in_brackets
from evaluation.reward.calibration import (
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    Calibration,
    CalibrationMetrics,
)
from evaluation.reward.evaluation import (
    RewardEvaluation,
    accuracy_in_words,
    reward_warnings,
    temperature_doubt,
)
from evaluation.reward.length_probe import LengthProbe
from evaluation.reward.slices import SECTIONS, SUBSET, RewardBench, Slice

SHOWN_SLICES = 30
"""Maximum number of values per group in the report, by number of pairs; the JSON file has all values."""
_SHOWN_CHARACTERS = 80
"""Maximum length of the name of a group or value in the report."""
NONE = "-"

_Row = tuple[str, ...]


def reward_metrics_content(evaluation: RewardEvaluation) -> dict[str, Any]:
    """Return the content of `reward_metrics.json`: all metrics and warnings; missing values are null."""
    metrics: dict[str, Any] = TypeAdapter(RewardEvaluation).dump_python(evaluation, mode="json")
    return {"schema_version": SCHEMA_VERSION, "warnings": reward_warnings(evaluation), **metrics}


def render_reward_report(evaluation: RewardEvaluation, model: str) -> str:
    """Return the report in Markdown.

    Args:
        evaluation: the evaluation of the reward model.
        model: name or path of the reward model.
    """
    bench = evaluation.reward_bench
    if bench and not bench.sections:
        bench = None  # the subsets are not from RewardBench, so show them among the groups
    groups = {key: slices for key, slices in evaluation.groups.items() if not (bench and key == SUBSET)}
    return document_template("evaluation", "reward_report.md.j2").render(
        evaluation=evaluation,
        model=in_code(model),
        resamples=RESAMPLES,
        accuracy=accuracy_in_words(evaluation.accuracy) if evaluation.accuracy else "",
        warnings=reward_warnings(evaluation),
        headline=list(_headline(evaluation)),
        calibration=list(_calibration_rows(evaluation.calibration)),
        temperature=f"{evaluation.calibration.temperature:.3g}",
        doubt=temperature_doubt(evaluation.calibration.temperature, evaluation.n),
        end=_end_of_range(evaluation.calibration.temperature),
        reliability=list(_reliability_rows(evaluation.calibration)),
        correlations=list(_correlation_rows(evaluation.length)),
        lengths=list(_length_rows(evaluation.length, evaluation.accuracy)),
        certainties=[_slice_row(one, one.value) for one in evaluation.certainties],
        groups=[(in_code(key), *_shown(slices)) for key, slices in groups.items()],
        sections=list(_section_rows(bench)),
        partial=list(_partial_sections(bench)),
        subsets=list(_subset_rows(bench)),
    )


def in_code(name: str) -> str:
    """Return a name from a user's data as a code span for a table cell, cut off if it is long."""
    return code_cell(name, _SHOWN_CHARACTERS)


def cell(metric: Metric | None) -> str:
    """Return a metric as `61.4 [52.0, 70.9]`: shares in percent, others with three decimals."""
    if metric is None:
        return NONE
    # The format for nats has three decimals, which suits a Brier score too.
    return in_brackets(metric if metric.unit else metric.model_copy(update={"unit": "nats"}))


def _headline(evaluation: RewardEvaluation) -> Iterator[_Row]:
    """Yield measure, value and number of pairs."""
    accuracy = evaluation.accuracy
    yield "accuracy, %", cell(accuracy), str(accuracy.n if accuracy else 0)
    for title, metric in (
        ("cross-entropy, nats", evaluation.nll),
        ("excess over the labels' entropy, nats", evaluation.excess_nll),
        ("Brier score", evaluation.brier),
    ):
        yield title, cell(metric), str(metric.n)


def _calibration_rows(calibration: Calibration) -> Iterator[_Row]:
    """Yield measure, value without temperature and value with temperature."""

    def row(title: str, name: str) -> _Row:
        return title, f"{getattr(calibration.before, name):.3f}", f"{getattr(calibration.after, name):.3f}"

    yield row("expected calibration error", "ece")
    yield row("the same, expected from chance alone", "ece_by_chance")
    yield row("cross-entropy, nats", "nll")
    yield row("excess over the labels' entropy, nats", "excess_nll")
    yield row("Brier score", "brier")


def _reliability_rows(calibration: Calibration) -> Iterator[_Row]:
    """Yield predicted, label and pairs, without and with temperature; either may have fewer bins."""
    before, after = _bin_cells(calibration.before), _bin_cells(calibration.after)
    nothing: _Row = (NONE, NONE, NONE)
    for place in range(max(len(before), len(after))):
        sides = (side[place] if place < len(side) else nothing for side in (before, after))
        yield tuple(text for side in sides for text in side)


def _bin_cells(metrics: CalibrationMetrics) -> list[_Row]:
    return [(f"{100 * one.predicted:.1f}", f"{100 * one.label:.1f}", str(one.n)) for one in metrics.bins]


def _end_of_range(temperature: float) -> str:
    """Explain a temperature at a limit of the search range; empty if it is within the range."""
    if temperature >= HIGHEST_TEMPERATURE:
        return "the scores are unrelated or opposed to these labels"
    if temperature <= LOWEST_TEMPERATURE:
        return "every pair is right, so the most confident scores always fit best"
    return ""


def _correlation_rows(probe: LengthProbe) -> Iterator[_Row]:
    """Yield the title, the coefficient and the number of values of each correlation."""
    for title, value, n in (
        ("reward and tokens, over all answers (Pearson)", probe.pearson, probe.answers),
        ("their ranks (Spearman)", probe.spearman, probe.answers),
        ("differences within pairs (Pearson)", probe.within_pairs, probe.answers // 2),
    ):
        yield title, NONE if value is None else f"{value:.2f}", str(n)


def _length_rows(probe: LengthProbe, accuracy: Metric | None) -> Iterator[_Row]:
    """Yield the kind of pairs, the accuracy in percent and the number of pairs."""
    for title, metric in (
        ("all pairs", accuracy),
        ("the better answer is the shorter one", probe.shorter_better),
        ("the better answer is the longer one", probe.longer_better),
        ("lengths differ by at most 10 %", probe.matched),
        ("all pairs, by the rule that longer is better", probe.longer_rule),
    ):
        yield title, cell(metric), str(metric.n if metric else 0)


def _shown(slices: Sequence[Slice]) -> tuple[list[_Row], int]:
    """Return the rows of a group's values, and the number of values that are not shown."""
    largest = sorted(slices, key=lambda one: -one.n)[:SHOWN_SLICES]
    shown = [_slice_row(one, in_code(one.value)) for one in slices if one in largest]
    return shown, len(slices) - len(shown)


def _slice_row(one: Slice, title: str) -> _Row:
    """Return title, pairs, accuracy in percent, cross-entropy and its excess."""
    return title, str(one.n), cell(one.accuracy), f"{one.nll:.3f}", f"{one.excess_nll:.3f}"


def _section_rows(bench: RewardBench | None) -> Iterator[_Row]:
    """Yield section, accuracy in percent, pairs and subsets."""
    for section in bench.sections if bench else ():
        total = len(SECTIONS[section.name])
        subsets = f"{total - len(section.missing)} of {total}"
        yield section.name, cell(section.accuracy), str(section.accuracy.n), subsets


def _partial_sections(bench: RewardBench | None) -> Iterator[str]:
    for section in bench.sections if bench else ():
        if section.missing:
            yield f"{section.name} lacks {', '.join(section.missing)}"


def _subset_rows(bench: RewardBench | None) -> Iterator[_Row]:
    """Yield the subsets of all sections with their section, then the subsets without a section."""
    if bench:
        for section in bench.sections:
            yield from ((section.name, *_slice_row(one, in_code(one.value))) for one in section.subsets)
        yield from ((NONE, *_slice_row(one, in_code(one.value))) for one in bench.others)
