"""Reliability diagrams: predicted probabilities against labels, with the band that chance alone explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.reward.calibration import Bin, CalibrationMetrics
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


def diagram_of(name: str, title: str, found: CalibrationMetrics, book: FigureBook) -> ReliabilityDiagram:
    """Return a diagram, and add its numbers to the book.

    Args:
        name: how the names of its figures begin.
        title: name of the predictor on the page.
        found: the metrics that the diagram shows.
        book: takes the figures.
    """
    for column in ("predicted", "label", "noise", "n"):
        book.series(f"{name}.{column}", [float(getattr(one, column)) for one in found.bins])
    return ReliabilityDiagram(
        title,
        found.bins,
        book.count(f"{name}.pairs", sum(one.n for one in found.bins)),
        book.add(Figure(f"{name}.ece", found.ece)),
        book.add(Figure(f"{name}.ece_by_chance", found.ece_by_chance)),
    )


def reward_diagrams(
    label: str, metrics: Mapping[str, Any], book: FigureBook
) -> tuple[ReliabilityDiagram, ...]:
    """Return the diagrams in the content of `reward_metrics.json`: as trained, and with the temperature."""
    calibration = metrics.get("calibration")
    if not isinstance(calibration, Mapping):
        return ()
    found = (
        (f"{label}.calibration.before", "as trained", _recorded(calibration.get("before"))),
        (f"{label}.calibration.after", "with temperature", _recorded(calibration.get("after"))),
    )
    return tuple(diagram_of(name, title, one, book) for name, title, one in found if one is not None)


def _recorded(value: Any) -> CalibrationMetrics | None:
    """Return recorded metrics; None if a field is missing."""
    try:
        bins = tuple(Bin(**{key: one[key] for key in Bin.__annotations__}) for one in value["bins"])
        numbers = {key: float(value[key]) for key in ("nll", "excess_nll", "brier", "ece", "ece_by_chance")}
    except (KeyError, TypeError, ValueError):
        return None
    return CalibrationMetrics(**numbers, bins=bins)
