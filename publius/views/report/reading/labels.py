"""Judgments and preferences of a run in numbers: who decided, how certain, and by which principle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from core.records import Judgment, Preference
from labelers.crowd.votes import MACHINES
from publius.runs.pairs.label_metrics import label_metrics
from publius.views.report.figures import COUNT, SHARE, Figure, FigureBook
from publius.views.report.reading.sources import RunSource

_TITLES = {
    "judgments.ai": "judgments by the AI labeler",
    "judgments.check": "judgments by machine checks",
    "judgments.check.decided": "machine-check judgments that prefer an answer",
    "preferences": "preferences",
    "preferences.ties": "preferences that are ties",
    "preferences.revision_chosen": "preferences for a revision",
    "preferences.answers_cut_off": "answers cut off at the token limit, of two a preference",
    "preferences.mean_p_chosen": "mean probability of the chosen answer",
    "ai.unparsed": "AI judgments that could not be read",
    "ai.abstained": "AI judgments without a verdict (abstained)",
    "ai.ties": "AI judgments that are ties",
    "ai.same_slot_in_both_orders": "AI judgments decided by position",
    "ai.slot_bias_nats": "position bias, log-odds of the first place",
    "ai.answer_mass": "probability on the offered answers",
}
_SHARES = ("preferences.mean_p_chosen", "ai.same_slot_in_both_orders", "ai.answer_mass")
_CERTAINTY_EDGES = np.linspace(0.5, 1.0, 11)
_SLOT_EDGES = np.linspace(-6.0, 6.0, 25)


@dataclass(frozen=True)
class PrincipleLabels:
    """What one principle had to do with the labels of a run."""

    principle: str
    judgments: Figure
    decided: Figure
    """Judgments that prefer one of the answers."""
    agrees: Figure | None
    """Share of the preferences that it judged and that go its way, ties excluded."""
    margin: Figure
    """Mean distance of its probabilities from one half."""


@dataclass(frozen=True)
class Histogram:
    """Counts of values between edges; values beyond the ends are counted in the outer bins."""

    edges: Sequence[float]
    counts: Sequence[float | None]


@dataclass(frozen=True)
class LabelStatistics:
    """The labels of a run in numbers."""

    figures: Mapping[str, Figure]
    """By title."""
    principles: tuple[PrincipleLabels, ...]
    certainty: Histogram
    """Preferences by the probability of the chosen answer."""
    slots: Histogram | None
    """AI judgments by the log-odds of the answer shown first, over both orders, in nats."""

    def of(self, name: str) -> Figure | None:
        """Return the figure whose name ends in `.labels.NAME`, or None."""
        return next((f for f in self.figures.values() if f.name.endswith(f".labels.{name}")), None)

    @property
    def people(self) -> dict[str, Figure]:
        """Number of judgments by source, of all sources of people's labels."""
        found = (figure.name.rpartition(".labels.judgments.") for figure in self.figures.values())
        named = {name: prefix for prefix, _, name in found if prefix}
        machines = {*MACHINES, "check.decided"}
        return {name: f for name in named if name not in machines and (f := self.of(f"judgments.{name}"))}


@dataclass
class _Tally:
    """Counts of one principle's judgments."""

    judgments: int = 0
    decided: int = 0
    margin: float = 0.0
    agrees: Counter[bool] = field(default_factory=Counter)


def read_labels(run: RunSource, book: FigureBook) -> LabelStatistics | None:
    """Return the statistics of a run's labels; None if it has no preferences."""
    if "label" not in run.manifest["stages"]:
        return None
    prefix = f"{run.label}.labels"
    figures = {
        _title(name): book.add(Figure(f"{prefix}.{name}", value, _unit(name)))
        for name, value in label_metrics(run.folder).items()
    }
    tallies: dict[str, _Tally] = {}
    slots: list[float] = []
    for judgment in run.reader.judgments:
        _count_judgment(judgment, tallies, slots)
    certainty: list[float] = []
    for preference in run.reader.preferences:
        certainty.append(preference.p_chosen)
        _count_agreement(preference, tallies)
    counted = [_principle(name, tallies[name], prefix, book) for name in _in_order(run, tallies)]
    return LabelStatistics(
        figures,
        tuple(counted),
        _histogram(f"{prefix}.certainty", certainty, _CERTAINTY_EDGES, book),
        _histogram(f"{prefix}.slots", slots, _SLOT_EDGES, book) if slots else None,
    )


def _count_judgment(judgment: Judgment, tallies: dict[str, _Tally], slots: list[float]) -> None:
    if judgment.orders is not None:
        slots.append((judgment.orders.a_first - judgment.orders.b_first) / 2)
    if judgment.principle_id is None:
        return
    tally = tallies.setdefault(judgment.principle_id, _Tally())
    tally.judgments += 1
    if judgment.p_a is not None:
        tally.decided += judgment.p_a != 0.5
        tally.margin += abs(judgment.p_a - 0.5)


def _count_agreement(preference: Preference, tallies: dict[str, _Tally]) -> None:
    if preference.p_chosen == 0.5:
        return
    for name, p in preference.by_principle.items():
        if p != 0.5:
            tallies.setdefault(name, _Tally()).agrees[p > 0.5] += 1


def _principle(name: str, tally: _Tally, prefix: str, book: FigureBook) -> PrincipleLabels:
    own = f"{prefix}.principles.{name}"
    both = tally.agrees.total()
    share = Figure(f"{own}.agrees", tally.agrees[True] / both, SHARE, both) if both else None
    mean = tally.margin / tally.judgments if tally.judgments else 0.0
    return PrincipleLabels(
        name,
        book.count(f"{own}.judgments", tally.judgments),
        book.count(f"{own}.decided", tally.decided),
        share and book.add(share),
        book.add(Figure(f"{own}.margin", mean)),
    )


def _in_order(run: RunSource, tallies: Mapping[str, _Tally]) -> list[str]:
    """Return the principles in the order of the constitution, then the others."""
    known = [p.id for p in run.constitution.principles if p.id in tallies] if run.constitution else []
    return [*known, *sorted(tallies.keys() - set(known))]


def _histogram(
    name: str,
    values: Sequence[float],
    edges: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]],
    book: FigureBook,
) -> Histogram:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return Histogram([float(edge) for edge in edges], book.series(name, [float(count) for count in counts]))


def _title(name: str) -> str:
    if name in _TITLES:
        return _TITLES[name]
    if name.startswith("ai.unparsed."):
        return f"not readable: {name.removeprefix('ai.unparsed.').replace('_', ' ')}"
    return f"judgments by {name.removeprefix('judgments.')}" if name.startswith("judgments.") else name


def _unit(name: str) -> str:
    if name in _SHARES:
        return SHARE
    return "nats" if name.endswith("_nats") else COUNT
