"""Output of `publius audit labeler` and `publius audit correction`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from core.notices import counted
from core.records import Metric
from core.terminal.breaking import BreakableName
from evaluation.judges.certificate import AuditedLabeler, Certificate
from evaluation.judges.report import (
    TITLES,
    compared_row,
    correction_line,
    cost_line,
    metric_cell,
    not_asked_lines,
    not_measured,
    outcome_lines,
)
from labelers.correction.correction import CorrectionQuality, LabelerCorrection
from publius.audit.correcting import CorrectionResult
from publius.audit.labeler import AuditResult
from publius.console import heading, out

_PARTS = ("accuracy.principle.", "accuracy.tag.")
_COMPARED = ("labeler", "accuracy", "NLL corrected", "swap inconsistency", "tokens", "")


def print_audit(result: AuditResult) -> None:
    """Print the tables of an audit and, last, what speaks against the labeler."""
    certificate = result.certificate
    if certificate.compared:
        heading(_compared_on(certificate))
        rows = [compared_row(one, certificate.recommended) for one in certificate.compared]
        out.print(_table(_COMPARED, rows))
    _print_gold(certificate)
    for one in certificate.audited:
        _print_labeler(one)
    if certificate.without_gold:
        heading("Without gold labels")
        out.print(_metrics(certificate.without_gold))
    if certificate.injections:
        heading("Injections in replies: shift of the log-odds in nats")
        out.print(_metrics(certificate.injections))
    _print_verdict(certificate)


def _compared_on(certificate: Certificate) -> str:
    if certificate.tuning:
        return f"Ways of asking, on {counted(certificate.tuning, 'comparison')} not used below"
    rows = counted(certificate.rows, "comparison")
    return f"Ways of asking, on all {rows}: too few to recommend one, and the best looks better than it is"


def _print_gold(certificate: Certificate) -> None:
    """Print how many gold comparisons there are, and what became of the others."""
    if not certificate.gold:
        return
    measured = certificate.rows - certificate.tuning
    others = counted(certificate.tuning, "other")
    chose = f"; {others} chose between the ways of asking" if certificate.tuning else ""
    out.print(f"gold labels: {counted(measured, 'comparison')} measured below{chose}")
    for source in certificate.gold:
        for reason, count in source.excluded.items():
            out.print(f"{source.name}: {count:,} left out ({reason})")


def _print_labeler(one: AuditedLabeler) -> None:
    if not one.metrics:
        return
    heading(f"{one.labeler.model}, {one.labeler.name}")
    out.print(_metrics(m for m in one.metrics if not m.name.startswith(_PARTS)))
    parts = [m for m in one.metrics if m.name.startswith(_PARTS)]
    if parts:
        heading("Its accuracy by principle and by tag")
        out.print(_metrics(parts))
    for line in not_asked_lines(one):
        out.print(line, markup=False)
    missing = not_measured(one)
    if missing is not None:
        out.print(missing)
    correction = correction_line(one)
    if correction is not None:
        out.print(correction)
    if one.cost is not None:
        out.print(f"cost: {cost_line(one)}")
    out.print("; ".join(outcome_lines(one)))


def _print_verdict(certificate: Certificate) -> None:
    for one in certificate.audited:
        problems = one.problems or ("nothing was found against it",)
        for problem in problems:
            out.print(f"{one.labeler.model}, {one.labeler.name}: {problem}")


def _metrics(metrics: Iterable[Metric]) -> Table:
    rows = [(TITLES.get(m.name, m.name), metric_cell(m), f"{m.n:,}") for m in metrics]
    return _table(("", "value (95 % interval)", "n"), rows)


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table in which long names and values continue on the next line: none is cut."""
    table = Table(box=None, pad_edge=False)
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left", overflow="fold")
    for name, *cells in rows:
        table.add_row(BreakableName(name), *cells)
    return table


def print_correction(result: CorrectionResult) -> None:
    """Print what a correction does and what it gains."""
    for line in correction_lines(result.correction):
        out.print(line)
    for reason, count in result.outcomes.items():
        out.print(f"  {reason}: {count:,}")
    out.print(f"correction {result.path}", soft_wrap=True)


def correction_lines(correction: LabelerCorrection) -> list[str]:
    """Return a correction as lines of text."""
    lines = [
        f"{correction.labeler.model} ({correction.labeler.mode}): fitted on "
        f"{counted(correction.judgments, 'judgment')} of {counted(correction.comparisons, 'comparison')}, "
        f"{counted(correction.prompts, 'prompt')}",
        f"  log-odds are multiplied by {correction.scale:.3g}",
    ]
    if correction.length:
        lines.append(f"  {correction.length:+.3g} nats for an answer e times as long as the other")
    for name, scale in sorted(correction.scales.items()):
        lines.append(f"  under {name}: multiplied by {scale:.3g}")
    lines += [
        f"  before: {_correction_quality(correction.before)}",
        f"  after:  {_correction_quality(correction.after)} (cross-validated)",
    ]
    threshold = correction.threshold
    if threshold is not None:
        lines.append(
            f"  abstains below {threshold.log_odds:.3g} nats, on {threshold.abstained:.0%} of the judgments; "
            f"error of the others {threshold.error:.1%}, at most {threshold.max_error:.0%} with "
            f"{threshold.confidence:.0%} confidence"
        )
    return lines


def _correction_quality(quality: CorrectionQuality) -> str:
    return (
        f"accuracy {quality.accuracy:.1%}, log-loss {quality.nll:.3f} nats, Brier {quality.brier:.3f}, "
        f"calibration error {quality.ece:.3f} (by chance up to {quality.ece_noise:.3f})"
    )
