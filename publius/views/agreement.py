"""Output of `publius agreement`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from core.notices import note
from core.statistics.bootstrap import Interval, wilson
from labelers.crowd.agreement import Agreement, PairAgreement
from publius.console import heading, out
from publius.labels.agreement import AgreementReport

_NAME_WIDTH = 20
"""Columns of a name, so that each table fits in a terminal of 80 columns."""
_TELLING = 3
"""Annotators from which on votes alone say something of who is right; below, the estimate is the prior."""
MAX_PAIRS = 30
"""Pairs of annotators to print, those with most comparisons in common first; --json has all."""


def print_report(report: AgreementReport) -> None:
    """Print the report as tables."""
    silent = "".join(f", {count:,} {verdict}" for verdict, count in report.without_choice.items())
    note(f"{report.judgments:,} judgments, {report.taken_back:,} taken back{silent}")
    rows = [("all", report.overall)] if report.overall else []
    rows += [(name, found) for name, found in report.by_principle.items()]
    rows += [(name, found) for name, found in report.by_dimension.items()]
    if not rows:
        out.print("No comparison was judged by two annotators, so agreement cannot be measured.")
        out.print("Judgments under different principles are not compared.")
    else:
        _print_agreement(rows)
        _print_pairs(report.pairs)
    _print_annotators(report)


def _print_agreement(rows: Sequence[tuple[str, Agreement | None]]) -> None:
    heading("Chance-corrected agreement as a whole, and by principle or dimension")
    table = _table("", "judged", "by", "agree", "Fleiss'\nkappa", "Krippendorff's\nalpha (95 %)")
    for name, found in rows:
        if found is not None:
            kappa = "undefined" if found.fleiss is None else f"{found.fleiss.value:.2f}"
            values = (f"{found.observed.value:.1%}", kappa, _interval(found.alpha))
            table.add_row(name, f"{found.comparisons:,}", f"{found.annotators:,}", *values)
    out.print(table)


def _print_pairs(pairs: Sequence[PairAgreement]) -> None:
    heading("Agreement of each pair of annotators, on what both judged")
    table = _table("", "", "judged", "agree", "Cohen's\nkappa (95 %)")
    shown = sorted(pairs, key=lambda pair: (-pair.comparisons, pair.first, pair.second))[:MAX_PAIRS]
    for pair in shown:
        table.add_row(
            pair.first, pair.second, f"{pair.comparisons:,}", f"{pair.observed:.1%}", _interval(pair.cohen)
        )
    out.print(table)
    if len(pairs) > MAX_PAIRS:
        note(f"{len(pairs) - MAX_PAIRS:,} more pairs of annotators; --json has all")


def _print_annotators(report: AgreementReport) -> None:
    heading("Annotators: accuracy as estimated from all votes; the truth is not known")
    knows = report.overall is not None and report.overall.annotators >= _TELLING
    table = _table("", "choices", "accuracy (95 %)", "first answer\nchosen (95 %)")
    positions = {bias.annotator: bias for bias in report.positions}
    for one in report.annotators:
        bias = positions.get(one.annotator)
        accuracy = None if one.accuracy is None or not knows else wilson(one.accuracy, one.votes)
        first = None if bias is None else bias.first
        table.add_row(one.annotator, f"{one.votes:,}", _share(accuracy), _share(first))
    out.print(table)
    if not knows:
        out.print("Accuracy needs three annotators: of two, votes do not say which one is right.")


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        numbers = bool(title)
        table.add_column(
            title,
            justify="right" if numbers else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=None if numbers else _NAME_WIDTH,
        )
    return table


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "undefined"
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def _share(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.value:.0%} ({interval.low:.0%} to {interval.high:.0%})"
