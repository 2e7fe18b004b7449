"""Reliability diagrams: predicted probabilities against labels, with the band that chance alone explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.reward.calibration import Bin, errors_of
from publius.views.report.figures import Figure, FigureBook

NORMAL_95 = 1.96
"""Standard errors on each side of the diagonal that hold 95 % of the labels of a calibrated model."""


@dataclass(frozen=True)
class ReliabilityDiagram:
    """The calibration of one predictor."""

    title: str
    bins: Sequence[Bin]
    """Pairs of similar confidence, by increasing confidence."""
    pairs: Figure
    error: Figure
    """Expected calibration error."""
    by_chance: Figure
    """The same of a perfectly calibrated model on as many pairs."""


def diagram_of(name: str, title: str, bins: Sequence[Bin], book: FigureBook) -> ReliabilityDiagram:
    """Return a diagram, and add its numbers to the book.

    Args:
        name: how the names of its figures begin.
        title: name of the predictor on the page.
        bins: the bins that the diagram shows.
        book: takes the figures.
    """
    for column in ("predicted", "label", "noise", "n"):
        book.series(f"{name}.{column}", [float(getattr(one, column)) for one in bins])
    error, by_chance = errors_of(bins)
    return ReliabilityDiagram(
        title,
        bins,
        book.count(f"{name}.pairs", sum(one.n for one in bins)),
        book.add(Figure(f"{name}.ece", error)),
        book.add(Figure(f"{name}.ece_by_chance", by_chance)),
    )


def reward_diagrams(
    label: str, metrics: Mapping[str, Any], book: FigureBook
) -> tuple[ReliabilityDiagram, ...]:
    """Return the diagrams in the content of `reward_metrics.json`: as trained, and with the temperature."""
    calibration = metrics.get("calibration")
    if not isinstance(calibration, Mapping):
        return ()
    found = (
        recorded_diagram(f"{label}.calibration.{key}", title, one.get("bins"), book)
        for key, title in (("before", "as trained"), ("after", "with temperature"))
        if isinstance(one := calibration.get(key), Mapping)
    )
    return tuple(one for one in found if one is not None)


def recorded_diagram(name: str, title: str, bins: Any, book: FigureBook) -> ReliabilityDiagram | None:
    """Return the diagram of recorded bins; None if there are none or a field is missing."""
    try:
        found = tuple(Bin(**{key: one[key] for key in Bin.__annotations__}) for one in bins or ())
    except (KeyError, TypeError):
        return None
    return diagram_of(name, title, found, book) if found else None
