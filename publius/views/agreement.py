"""Output of `publius agreement`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from core.notices import note
from core.statistics.bootstrap import Interval, wilson
from labelers.crowd.agreement import Agreement, PairAgreement
from publius.console import heading, out
from publius.labels.agreement import AgreementReport

MAX_PAIRS = 30
"""Pairs of annotators to print, those with most comparisons in common first; --json has all."""


def print_report(report: AgreementReport) -> None:
    """Print the report as tables."""
    silent = "".join(f", {count:,} {verdict}" for verdict, count in report.without_choice.items())
    note(f"{report.judgments:,} judgments, {report.taken_back:,} taken back{silent}")
    rows = [("all", report.overall)] if report.overall else []
    rows += [(f"principle {name}", found) for name, found in report.by_principle.items()]
    rows += [(f"dimension {name}", found) for name, found in report.by_dimension.items()]
    if not rows:
        out.print("No comparison was judged by two annotators, so agreement cannot be measured.")
    else:
        _print_agreement(rows)
        _print_pairs(report.pairs)
    _print_annotators(report)


def _print_agreement(rows: Sequence[tuple[str, Agreement | None]]) -> None:
    heading("Chance-corrected agreement, with 95 % intervals over comparisons")
    table = _table("", "comparisons", "annotators", "agree", "Fleiss' kappa", "Krippendorff's alpha")
    for name, found in rows:
        if found is not None:
            values = (f"{found.observed.value:.1%}", _interval(found.fleiss), _interval(found.alpha))
            table.add_row(name, f"{found.comparisons:,}", f"{found.annotators:,}", *values)
    out.print(table)


def _print_pairs(pairs: Sequence[PairAgreement]) -> None:
    heading("Agreement of each pair of annotators")
    table = _table("", "", "comparisons", "agree", "Cohen's kappa")
    shown = sorted(pairs, key=lambda pair: (-pair.comparisons, pair.first, pair.second))[:MAX_PAIRS]
    for pair in shown:
        table.add_row(
            pair.first, pair.second, f"{pair.comparisons:,}", f"{pair.observed:.1%}", _interval(pair.cohen)
        )
    out.print(table)
    if len(pairs) > MAX_PAIRS:
        note(f"{len(pairs) - MAX_PAIRS:,} more pairs of annotators; --json has all")


def _print_annotators(report: AgreementReport) -> None:
    heading("Annotators: accuracy as estimated from all votes (the true answers are not known)")
    table = _table("", "choices", "accuracy", "first answer chosen")
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


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "undefined"
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def _share(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.value:.0%} ({interval.low:.0%} to {interval.high:.0%})"
