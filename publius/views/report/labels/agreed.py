"""Agreement of the AI labeler, machine checks and people on the comparisons that two of them judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.statistics.bootstrap import Interval
from labelers.crowd.agreement import Agreement, PairAgreement
from publius.labels.agreement import AgreementReport, agreement_report
from publius.views.report.figures import SHARE, Figure, FigureBook
from publius.views.report.labels.pairs import LabelRecords

MAX_LABELER_PAIRS = 30
"""Maximum number of pairs of labelers on the page, those with most comparisons in common; the command
`publius agreement` has all."""


@dataclass(frozen=True)
class AgreementRow:
    """Agreement of all labelers, or of two of them."""

    title: str
    comparisons: Figure
    observed: Figure
    """Share of the pairs of labelers that make the same choice."""
    corrected: Figure | None
    """Krippendorff's alpha of all, Cohen's kappa of two; None where it cannot be estimated."""


@dataclass(frozen=True)
class LabelerAgreement:
    """The agreement in a run's labels."""

    groups: tuple[AgreementRow, ...]
    """All comparisons, and those judged under one principle or dimension by two labelers."""
    pairs: tuple[AgreementRow, ...]
    omitted: int
    """Number of pairs of labelers that are not shown."""


def read_agreement(pairs: LabelRecords, prefix: str, book: FigureBook) -> LabelerAgreement | None:
    """Return the agreement of a run's labelers; None if no two of them judged the same."""
    found = agreement_report(pairs.every_judgment.values(), pairs.prompts)
    if found.overall is None and not found.pairs:
        return None
    named = [] if found.overall is None else [("all", "all labelers", found.overall)]
    named += [(f"principle.{name}", f"on {name}", one) for name, one in found.by_principle.items()]
    named += [(f"dimension.{name}", f"on {name}", one) for name, one in found.by_dimension.items()]
    groups = tuple(_of_group(f"{prefix}.agreement.{name}", title, one, book) for name, title, one in named)
    ordered = sorted(found.pairs, key=lambda pair: (-pair.comparisons, pair.first, pair.second))
    shown = tuple(_of_pair(prefix, pair, found, book) for pair in ordered[:MAX_LABELER_PAIRS])
    return LabelerAgreement(groups, shown, max(0, len(ordered) - MAX_LABELER_PAIRS))


def _of_group(name: str, title: str, found: Agreement, book: FigureBook) -> AgreementRow:
    observed = found.observed
    return AgreementRow(
        title,
        book.count(f"{name}.comparisons", found.comparisons),
        book.add(
            Figure(f"{name}.observed", observed.value, SHARE, found.comparisons, observed.low, observed.high)
        ),
        next(_corrected(f"{name}.alpha", found.alpha, found.comparisons, book), None),
    )


def _of_pair(prefix: str, pair: PairAgreement, among: AgreementReport, book: FigureBook) -> AgreementRow:
    name = f"{prefix}.agreement.{pair.first}+{pair.second}"
    return AgreementRow(
        f"{_who(among.name_of(pair.first))} and {_who(among.name_of(pair.second))}",
        book.count(f"{name}.comparisons", pair.comparisons),
        book.add(Figure(f"{name}.observed", pair.observed, SHARE, pair.comparisons)),
        next(_corrected(f"{name}.kappa", pair.cohen, pair.comparisons, book), None),
    )


def _who(labeler: str) -> str:
    return {"ai": "AI labeler", "check": "machine checks"}.get(labeler, labeler)


def _corrected(name: str, found: Interval | None, n: int, book: FigureBook) -> Iterator[Figure]:
    if found is not None:
        yield book.add(Figure(name, found.value, "", n, found.low, found.high))
