"""What `publius agreement` finds in folders of judgments, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from core.errors import DataError
from core.records import Judgment
from core.statistics.bootstrap import Interval, wilson
from labelers.crowd.agreement import Agreement, PairAgreement, agreement, pair_agreements
from labelers.crowd.reliability import Reliability, graded_dawid_skene
from labelers.crowd.votes import standing, votes_of
from labelers.position import PositionBias, position_biases
from publius.console import heading, note, out
from publius.run.judgment_folder import people_files

MOST_PAIRS = 30
"""Pairs of annotators that are printed, those with most comparisons in common; --json gives all."""


@dataclass(frozen=True)
class AgreementReport:
    """All that is found."""

    judgments: int
    taken_back: int
    without_choice: dict[str, int]
    """Standing judgments that are no vote, by verdict."""
    overall: Agreement | None
    by_principle: dict[str, Agreement]
    by_dimension: dict[str, Agreement]
    """For each that two annotators judged on the same comparison."""
    pairs: list[PairAgreement]
    annotators: tuple[Reliability, ...]
    positions: list[PositionBias]

    def plain(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        plain: dict[str, Any] = _plain(vars(self))
        return plain


def read_report(folders: Sequence[Path]) -> AgreementReport:
    """Return what the judgments of all folders together say.

    Raises:
        DataError: a folder has no judgments, or holds an empty file of them.
    """
    found: dict[str, Judgment] = {}
    for folder in folders:
        with people_files(folder) as files:
            found |= {judgment.id: judgment for judgment in files.judgments}
    if not found:
        where = ", ".join(map(str, folders))
        raise DataError("there is no judgment", where=where, accepted="judgments.jsonl with judgments")
    said = standing(found.values())
    votes = votes_of(said)
    return AgreementReport(
        judgments=len(found),
        taken_back=len(found) - len(said),
        without_choice=dict(
            sorted(Counter(j.verdict for j in said if j.verdict in ("skip", "unparsed")).items())
        ),
        overall=agreement(votes),
        by_principle=_by(said, lambda judgment: judgment.principle_id),
        by_dimension=_by(said, lambda judgment: judgment.dimension),
        pairs=pair_agreements(votes),
        annotators=graded_dawid_skene(votes).annotators,
        positions=position_biases(said),
    )


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


def _by(said: Iterable[Judgment], key: Callable[[Judgment], str | None]) -> dict[str, Agreement]:
    groups: dict[str, list[Judgment]] = {}
    for judgment in said:
        name = key(judgment)
        if name is not None:
            groups.setdefault(name, []).append(judgment)
    found = {name: agreement(votes_of(group)) for name, group in sorted(groups.items())}
    return {name: one for name, one in found.items() if one is not None}


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
    most = sorted(pairs, key=lambda pair: (-pair.comparisons, pair.first, pair.second))[:MOST_PAIRS]
    for pair in most:
        table.add_row(
            pair.first, pair.second, f"{pair.comparisons:,}", f"{pair.observed:.1%}", _figure(pair.cohen)
        )
    out.print(table)
    if len(pairs) > MOST_PAIRS:
        note(f"{len(pairs) - MOST_PAIRS:,} more pairs of annotators: --json")


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


def _plain(value: Any) -> Any:
    """Return records, tuples and mappings of figures as what JSON knows."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "__slots__"):
        return {name: _plain(getattr(value, name)) for name in value.__slots__}
    return value
