"""What `publius agreement` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from core.notices import note
from core.statistics.bootstrap import Interval, wilson
from labelers.crowd.agreement import Agreement, PairAgreement
from publius.console import heading, out
from publius.labels.agreement import AgreementReport

MAX_PAIRS = 30
"""Pairs of annotators that are printed, those with most comparisons in common; --json gives all."""


def print_report(report: AgreementReport) -> None:
    """Print the report for people."""
    silent = "".join(f", {count:,} {verdict}" for verdict, count in report.without_choice.items())
    note(f"{report.judgments:,} judgments, {report.taken_back:,} taken back{silent}")
    rows = [("all", report.overall)] if report.overall else []
    rows += [(f"principle {name}", found) for name, found in report.by_principle.items()]
    rows += [(f"dimension {name}", found) for name, found in report.by_dimension.items()]
    if not rows:
        out.print("No comparison was judged by two annotators, so that nothing can be said of agreement.")
    else:
        _print_agreement(rows)
        _print_pairs(report.pairs)
    _print_annotators(report)


def _print_agreement(rows: Sequence[tuple[str, Agreement | None]]) -> None:
    heading("Agreement beyond chance, 95 % intervals over comparisons")
    table = _table("", "comparisons", "annotators", "agree", "Fleiss' kappa", "Krippendorff's alpha")
    for name, found in rows:
        if found is not None:
            figures = (f"{found.observed.value:.1%}", _figure(found.fleiss), _figure(found.alpha))
            table.add_row(name, f"{found.comparisons:,}", f"{found.annotators:,}", *figures)
    out.print(table)


def _print_pairs(pairs: Sequence[PairAgreement]) -> None:
    heading("Who agrees with whom")
    table = _table("", "", "comparisons", "agree", "Cohen's kappa")
    most = sorted(pairs, key=lambda pair: (-pair.comparisons, pair.first, pair.second))[:MAX_PAIRS]
    for pair in most:
        table.add_row(
            pair.first, pair.second, f"{pair.comparisons:,}", f"{pair.observed:.1%}", _figure(pair.cohen)
        )
    out.print(table)
    if len(pairs) > MAX_PAIRS:
        note(f"{len(pairs) - MAX_PAIRS:,} more pairs of annotators: --json")


def _print_annotators(report: AgreementReport) -> None:
    heading("Annotators: accuracy as their votes among the others' suggest it, no truth being known")
    table = _table("", "choices", "accuracy", "first place chosen")
    positions = {bias.annotator: bias for bias in report.positions}
    for one in report.annotators:
        bias = positions.get(one.annotator)
        accuracy = None if one.accuracy is None else wilson(one.accuracy, one.votes)
        first = None if bias is None else bias.first
        table.add_row(one.annotator, f"{one.votes:,}", _share(accuracy), _share(first))
    out.print(table)


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, justify="right" if title else "left")
    return table


def _figure(interval: Interval | None) -> str:
    if interval is None:
        return "not defined"
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def _share(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.value:.0%} ({interval.low:.0%} to {interval.high:.0%})"
