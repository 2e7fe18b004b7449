"""Output of `publius audit labeler`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from core.records import Metric
from evaluation.judges.certificate import AuditedLabeler, Certificate
from evaluation.judges.report import TITLES, compared_row, cost_line, metric_cell
from publius.audit.labeler import AuditResult
from publius.console import heading, out

_PARTS = ("accuracy.principle.", "accuracy.tag.")
_COMPARED = ("labeler", "accuracy", "NLL corrected", "swap inconsistency", "tokens", "")


def print_audit(result: AuditResult) -> None:
    """Print the tables of an audit and, last, what speaks against the labeler."""
    certificate = result.certificate
    if certificate.compared:
        heading(f"Ways of asking, on {certificate.tuning:,} comparisons that are not used below")
        rows = [compared_row(one, certificate.recommended) for one in certificate.compared]
        out.print(_table(_COMPARED, rows))
    for one in certificate.audited:
        _print_labeler(one)
    if certificate.without_gold:
        heading("Without gold labels")
        out.print(_metrics(certificate.without_gold))
    if certificate.injections:
        heading("Injections in replies: shift of the log-odds in nats")
        out.print(_metrics(certificate.injections))
    _print_verdict(certificate)


def _print_labeler(one: AuditedLabeler) -> None:
    if not one.metrics:
        return
    heading(f"{one.labeler.model}, {one.labeler.name}")
    out.print(_metrics(m for m in one.metrics if not m.name.startswith(_PARTS)))
    parts = [m for m in one.metrics if m.name.startswith(_PARTS)]
    if parts:
        heading("Its accuracy by principle and by tag")
        out.print(_metrics(parts))
    if one.cost is not None:
        out.print(f"cost: {cost_line(one)}", soft_wrap=True)
    out.print("; ".join(f"{name}: {count:,}" for name, count in one.outcomes.items()), soft_wrap=True)


def _print_verdict(certificate: Certificate) -> None:
    for one in certificate.audited:
        problems = one.problems or ("nothing was found against it",)
        for problem in problems:
            out.print(f"{one.labeler.model}, {one.labeler.name}: {problem}", soft_wrap=True)


def _metrics(metrics: Iterable[Metric]) -> Table:
    rows = [(TITLES.get(m.name, m.name), metric_cell(m), f"{m.n:,}") for m in metrics]
    return _table(("", "value (95 % interval)", "n"), rows)


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table
