"""Evaluation reports: `report.md`, `metrics.json` and the summary table at the end of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from constitution.schema import Constitution
from core.records import SCHEMA_VERSION, Answer, Metric, Sampling
from core.terminal.breaking import BreakableName
from core.text.documents import code_cell, document_template, fenced, without_bars
from critique.statistics import attribution_rows, loop_lines
from evaluation.config import BASE
from evaluation.findings import Findings
from evaluation.gates.decide import GateResult
from evaluation.judged.findings import JudgedFindings
from evaluation.judged.names import JUDGED
from evaluation.judges.report import audit_card
from evaluation.measures import COMPLIANCE, SELF_SIMILARITY
from evaluation.metrics import FEW_PROMPTS, MIN_PROMPTS, Evaluation, variant_rank
from evaluation.presentation import (
    BEYOND_NOISE,
    ChangeOutcome,
    EvaluationMetrics,
    in_brackets,
    in_parentheses,
    is_steered,
    number,
    title_of,
)
from evaluation.quality import BASE_LOSS, TEXT_MEASURES
from evaluation.ranking import RankedVariant
from evaluation.win_rate import WIN_RATE

SHOWN_CHARACTERS = 2_000
"""Maximum length of a prompt or answer in the report; the file of answers has the full text."""

EXAMPLES_SHOWN = 2
"""Number of wrong responses to refusal prompts that the report shows, of each kind and variant."""

_KINDS = {
    "base": "the policy before training",
    "prompted": "base, with the constitution as its system prompt",
    "sft": "after supervised fine-tuning on the revisions",
    "dpo": "after training on the preferences with DPO",
    "ppo": "after reinforcement learning with PPO",
    "rloo": "after reinforcement learning with RLOO",
    "grpo": "after reinforcement learning with GRPO",
    "distill": "after distillation from `prompted`",
    "steered": "the checkpoint that was chosen",
}
_MARK = "*"
_FEWER = " (n = "
_GAP = 2
"""Spaces between two columns of a table in the terminal."""


@dataclass(frozen=True)
class ReportContent:
    """Content of the report."""

    constitution: Constitution
    evaluation: Evaluation
    answers: Sequence[Answer]
    excluded: Mapping[str, int]
    """Number of prompts and answers that earlier steps excluded, by reason."""
    samples_shown: int = 3
    judge: str | None = None
    """Model of the judge, if there was one."""
    loop: Mapping[str, Any] = field(default_factory=dict)
    """Statistics of the critique loop (`critique/statistics.py`); empty if the run has none."""
    findings: Findings = field(default_factory=Findings)
    """What was found beyond the metrics."""
    labeled_by_judge: bool = False
    """True if the judge also labeled the training data."""
    caveats: Sequence[str] = ()
    """What speaks against the run as a whole, as sentences."""
    trained_on: Mapping[str, str] = field(default_factory=dict)
    """How many examples each variant learned from, in words."""
    excluded_before: Mapping[str, int] = field(default_factory=dict)
    """Number of records that the stages before the evaluation excluded, by stage and reason."""
    held_out: bool = True
    """False if a variant was trained on some of the prompts."""


def render_report(content: ReportContent) -> str:
    """Return the report in Markdown. Text of models and data is fenced and never rendered as a template."""
    evaluation, refusals = content.evaluation, content.findings.refusals
    metrics = EvaluationMetrics.of(evaluation.metrics)
    return document_template("evaluation", "report.md.j2").render(
        name=without_bars(content.constitution.name),
        digest=content.constitution.digest[:16],
        prompts=len(evaluation.prompts),
        variants=evaluation.variants,
        fewest=MIN_PROMPTS,
        few=FEW_PROMPTS,
        judge=content.judge and code_cell(content.judge),
        corrected=[one.line() for one in content.findings.corrected],
        judged=content.findings.judged,
        audit=_audit_of_judge(content.findings.judged),
        controlled=content.findings.controlled,
        compared=_compared(content),
        changes={variant: _changes(metrics, variant) for variant in metrics.variants if variant != BASE},
        beyond=_count_beyond(metrics),
        tables=_tables(metrics),
        has_losses=any(measure in (*TEXT_MEASURES, BASE_LOSS) for measure in metrics.measures),
        differences=_differences(metrics),
        refusals=refusals,
        drift=content.findings.drift,
        has_drift_measures=SELF_SIMILARITY in metrics.measures,
        refusal_examples=refusals.examples(EXAMPLES_SHOWN) if refusals else (),
        gates=_gates(content.findings.gates),
        ranking=_ranking(content.findings.ranking),
        labeled_by_judge=content.labeled_by_judge,
        loop_rounds=loop_lines(content.loop),
        loop_principles=attribution_rows(content.loop),
        samples=_samples(content),
        excluded=all_excluded(evaluation, content.excluded),
        excluded_before=content.excluded_before,
        held_out=content.held_out,
        caveats=content.caveats,
        unmeasured=_unmeasured(content),
        out_of_scope=[
            code_cell(name) for name in out_of_scope_principles(content.constitution, evaluation.metrics)
        ],
        yardsticks=[code_cell(name) for name in content.constitution.yardsticks],
    )


def _audit_of_judge(judged: JudgedFindings | None) -> dict[str, Any] | None:
    """Return the values that the report shows of the judge's audit; None if it was not audited."""
    return audit_card(judged.audit) if judged and judged.audit else None


def _unmeasured(content: ReportContent) -> list[str]:
    judged = content.findings.judged is not None
    return [code_cell(name) for name in unmeasured_principles(content.constitution, judged=judged)]


def unmeasured_principles(constitution: Constitution, *, judged: bool) -> tuple[str, ...]:
    """Return the ids of the principles that no check and no judge measures.

    Args:
        constitution: the constitution of the evaluation.
        judged: True if a judge rated single answers.
    """
    return () if judged else tuple(one.id for one in constitution.principles if one.check is None)


def out_of_scope_principles(constitution: Constitution, metrics: Iterable[Metric]) -> tuple[str, ...]:
    """Return the ids of the principles with a check that no prompt of an evaluation is in the scope of.

    Args:
        constitution: the constitution of the evaluation.
        metrics: its metrics, of which each check has one where it is for a prompt.
    """
    measures = set(EvaluationMetrics.of(metrics).measures)
    if not measures:
        return ()
    checked = (one.id for one in constitution.principles if one.check is not None)
    return tuple(name for name in checked if f"{COMPLIANCE}.{name}" not in measures)


def metrics_content(evaluation: Evaluation, excluded: Mapping[str, int]) -> dict[str, Any]:
    """Return the content of `metrics.json`: all metrics, the number of prompts, and counts of exclusions."""
    return {
        "schema_version": SCHEMA_VERSION,
        "variants": list(evaluation.variants),
        "prompts": len(evaluation.prompts),
        "left_out": all_excluded(evaluation, excluded),
        "metrics": [metric.model_dump(mode="json", exclude_none=True) for metric in evaluation.metrics],
    }


def all_excluded(evaluation: Evaluation, earlier: Mapping[str, int]) -> dict[str, int]:
    """Return the number of exclusions by reason, including those of earlier steps."""
    counts = dict(earlier)
    for variant, count in evaluation.missing.items():
        counts[f"prompts that {variant} did not answer (excluded for every variant)"] = count
    for measure, count in evaluation.without_value.items():
        counts[f"prompts without a value of {measure} for some variant (excluded from that measure)"] = count
    return counts


def summary_rows(metrics: Iterable[Metric]) -> tuple[tuple[str, ...], ...]:
    """Return the rows of a terminal table: the measure and one cell per variant, such as `61.4 (52.0-70.9)*`.

    The first row is the heading. A star marks values that differ from `base` by more than noise.
    """
    found = EvaluationMetrics.of(metrics)
    rows = [("measure", *found.variants)]
    for measure in found.measures:
        cells = tuple(_summary_cell(found, variant, measure) for variant in found.variants)
        rows.append((_summary_title(found, measure), *cells))
    return tuple(rows)


def summary_table(metrics: Iterable[Metric], width: int = 100) -> Group:
    """Return the table of all measures and variants, and what its mark means.

    Where it is wider than the terminal, long names have two lines; where that is not enough, intervals are
    below their values: so four variants fit in 80 columns.

    Args:
        metrics: metrics of an evaluation.
        width: columns of the terminal.
    """
    heading, *rows = summary_rows(metrics)
    if _width_of([heading, *rows]) > width:
        rows = [(_in_two_lines(name), *cells) for name, *cells in rows]
    if _width_of([heading, *rows]) > width:
        rows = [(name, *map(_stacked, cells)) for name, *cells in rows]
    caption = f"{_MARK} differs from base by more than noise (at most 5 % by chance, for all rows together)"
    table = Table(box=None, pad_edge=False)
    for place, title in enumerate(heading):
        table.add_column(title, no_wrap=place > 0, overflow="fold")
    for name, *cells in rows:
        table.add_row(BreakableName(name), *cells)
    fewer = any(_FEWER in name for name, *_ in rows)
    meaning = "n: prompts on which the rule was measured; the others are not in its scope, or do not show it"
    return Group(table, Text(caption, style="dim"), *([Text(meaning, style="dim")] if fewer else ()))


def _width_of(rows: Sequence[Sequence[str]]) -> int:
    """Return the columns of a table whose cells may have several lines."""
    columns = zip(*rows, strict=True)
    widths = (max(len(line) for cell in column for line in cell.split("\n")) for column in columns)
    return sum(width + _GAP for width in widths) - _GAP


def _in_two_lines(name: str) -> str:
    """Return a name with what follows its first comma below it; a unit alone stays where it is."""
    first, _, rest = name.partition(", ")
    return f"{first},\n{rest}" if ", " in rest else name


def _stacked(cell: str) -> str:
    """Return a cell with its interval below the value: `61.4*` and `(52.0-70.9)`."""
    value, _, interval = cell.partition(" (")
    if not interval:
        return cell
    return f"{value}{_MARK * interval.endswith(_MARK)}\n({interval.removesuffix(_MARK)}"


def _summary_cell(metrics: EvaluationMetrics, variant: str, measure: str) -> str:
    metric = metrics.values.get((variant, measure))
    if metric is None:
        return ""
    return in_parentheses(metric) + _MARK * (metrics.outcome(variant, measure) in BEYOND_NOISE)


def _summary_title(metrics: EvaluationMetrics, measure: str) -> str:
    """Return the title of a measure, with the number of prompts if a rule was not measured on all."""
    title = _title(metrics, measure)
    counts = {name: metric.n for (_, name), metric in metrics.values.items() if name in (measure, "words")}
    own, everyone = counts.get(measure), counts.get("words")
    is_rule = measure.partition(".")[0] in (COMPLIANCE, JUDGED)
    return f"{title}{_FEWER}{own})" if is_rule and own and everyone and own < everyone else title


def _title(metrics: EvaluationMetrics, measure: str) -> str:
    return title_of(measure, next(m.unit for key, m in metrics.values.items() if key[1] == measure))


def _tables(metrics: EvaluationMetrics) -> dict[str, list[tuple[str, ...]]]:
    """Return the rows of the two tables of values: compliance measures and side effects."""
    tables: dict[str, list[tuple[str, ...]]] = {"compliance": [], "side_effects": []}
    for measure in metrics.measures:
        found = [metrics.values.get((variant, measure)) for variant in metrics.variants]
        cells = ["" if metric is None else in_brackets(metric) for metric in found]
        prompts = next(str(metric.n) for metric in found if metric is not None)
        row = (_title(metrics, measure), *cells, prompts)
        tables["compliance" if is_steered(measure) else "side_effects"].append(row)
    return tables


def _differences(metrics: EvaluationMetrics) -> list[tuple[str, ...]]:
    """Return the rows of the table of differences, with those beyond noise in bold."""
    rows: list[tuple[str, ...]] = []
    for measure in metrics.measures:
        deltas = {key[0]: delta for key, delta in metrics.deltas.items() if key[1] == measure}
        cells = {name: in_brackets(delta, signed=True, together=True) for name, delta in deltas.items()}
        for variant in cells:
            if metrics.outcome(variant, measure) in BEYOND_NOISE:
                cells[variant] = f"**{cells[variant]}**"
        if cells:
            names = (variant for variant in metrics.variants if variant != BASE)
            rows.append((_title(metrics, measure), *(cells.get(name, "") for name in names)))
    return rows


def _ranking(ranked: Iterable[RankedVariant]) -> list[tuple[str, ...]]:
    """Return a row for each variant: rank, strength over `base` in nats, and the win rate that it implies."""
    return [
        (
            one.variant,
            f"{one.best_rank}" if one.best_rank == one.worst_rank else f"{one.best_rank} to {one.worst_rank}",
            f"{one.strength:+.2f} [{one.low:+.2f}, {one.high:+.2f}]",
            f"{100 / (1 + math.exp(-one.strength)):.1f}",
        )
        for one in ranked
    ]


def _gates(results: Iterable[GateResult]) -> list[tuple[str, ...]]:
    """Return a row for each gate: its outcome, what it is on with the interval, and where it comes from."""
    return [
        (
            f"**{result.outcome}**" if result.blocks else result.outcome,
            without_bars(result.line()),
            "default" if result.is_default else "run file",
            result.level,
        )
        for result in results
    ]


def _changes(metrics: EvaluationMetrics, variant: str) -> dict[ChangeOutcome, list[str]]:
    """Return a variant's differences from `base` in words, by outcome."""
    changes: dict[ChangeOutcome, list[str]] = {
        "better": [],
        "worse": [],
        "other": [],
        "noise": [],
        "same": [],
    }
    for measure in metrics.measures:
        outcome = metrics.outcome(variant, measure)
        if outcome is not None:
            name = title_of(measure, "")
            changes[outcome].append(name if outcome == "same" else _change(metrics, variant, measure, name))
    return changes


def _change(metrics: EvaluationMetrics, variant: str, measure: str, name: str) -> str:
    """Return a difference in words, such as `words -48.2 [-60.0, -36.1] (108.2 to 60.0)`."""
    value = metrics.values[variant, measure]
    if measure == WIN_RATE:
        return f"{name} {in_brackets(value, together=True)} %"
    delta, base = metrics.deltas[variant, measure], metrics.values[BASE, measure]
    points, percent = (" points", " %") if delta.unit == "share" else ("", "")
    from_to = f"{number(base)} to {number(value)}{percent}"
    return f"{name} {in_brackets(delta, signed=True, together=True)}{points} ({from_to})"


def _count_beyond(metrics: EvaluationMetrics) -> tuple[int, int]:
    """Return the number of differences beyond noise and the number of all differences."""
    outcomes = [metrics.outcome(variant, measure) for variant, measure in metrics.values]
    judged = [outcome for outcome in outcomes if outcome is not None]
    return sum(outcome in BEYOND_NOISE for outcome in judged), len(judged)


def _compared(content: ReportContent) -> list[tuple[str, ...]]:
    """Return a row for each variant: name, description, model, sampling, answers, examples."""
    rows: list[tuple[str, ...]] = []
    for variant in content.evaluation.variants:
        given = [answer.generation for answer in content.answers if answer.variant == variant]
        models = ", ".join(sorted({code_cell(generation.model) for generation in given}))
        sampling = "; ".join(sorted({_sampling(generation.sampling) for generation in given}))
        kind, learned = _KINDS.get(variant, "a trained variant"), content.trained_on.get(variant, "")
        rows.append((variant, kind, models, sampling, str(len(given)), learned))
    return rows


def _sampling(sampling: Sampling) -> str:
    drawn = "greedy" if sampling.temperature == 0 else f"temperature {sampling.temperature:g}"
    return f"{drawn}, at most {sampling.max_new_tokens} tokens"


def _samples(content: ReportContent) -> list[dict[str, Any]]:
    """Return the first prompts by id, which is a hash, with the fenced answers of every variant."""
    shown = set(content.evaluation.prompts[: content.samples_shown])
    samples: dict[str, dict[str, Any]] = {prompt_id: {} for prompt_id in sorted(shown)}
    for answer in sorted(content.answers, key=lambda answer: variant_rank(answer.variant)):
        if answer.prompt.id in shown:
            sample = samples[answer.prompt.id]
            messages, text = answer.prompt.messages, answer.generation.text
            sample["conversation"] = [{"role": m.role, "text": _block(m.content)} for m in messages]
            sample.setdefault("answers", []).append(
                {
                    "variant": answer.variant,
                    "text": _block(text) if text.strip() else "",
                    "cut": answer.generation.finish_reason == "length",
                }
            )
    return list(samples.values())


def _block(text: str) -> str:
    return fenced(text, max_characters=SHOWN_CHARACTERS)
