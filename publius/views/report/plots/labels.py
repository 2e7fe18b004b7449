"""Plots of labels: their certainty and calibration, and how much the labeler likes one place and length."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from publius.views.report.labels.leanings import LengthStep
from publius.views.report.plots.style import LINE, SERIES, SOFT, drawing, svg_of, without_ticks
from publius.views.report.reading.labels import Histogram
from publius.views.report.reading.reliability import NORMAL_95, ReliabilityDiagram


def certainty_plot(certainty: Histogram, name: str) -> Markup:
    """Return the histogram of the probability of the chosen answer."""
    return _bars(
        certainty, name, "probability of the chosen answer", "preferences", "Certainty of the preferences"
    )


def slots_plot(slots: Histogram, name: str) -> Markup:
    """Return the histogram of the log-odds of the answer that is shown first."""
    title = "Position bias of the AI labeler"
    return _bars(slots, name, "log-odds of the first place, nats", "judgments", title, middle=0.0)


def reliability_plot(diagrams: Sequence[ReliabilityDiagram], name: str, title: str) -> Markup | None:
    """Return the labels of pairs against the confidence in them, with the band of a calibrated predictor."""
    if not any(diagram.bins for diagram in diagrams):
        return None
    with drawing(2.9) as figure:
        axes = figure.subplots()
        axes.plot([0.5, 1.0], [0.5, 1.0], color=SOFT, linewidth=1)
        for place, diagram in enumerate(diagrams):
            colour = SERIES[place % len(SERIES)]
            for one in diagram.bins:
                ends = [
                    max(0.0, one.predicted - NORMAL_95 * one.noise),
                    min(1.0, one.predicted + NORMAL_95 * one.noise),
                ]
                axes.plot([one.predicted] * 2, ends, color=LINE, linewidth=7, solid_capstyle="butt", zorder=1)
            x, y = [one.predicted for one in diagram.bins], [one.label for one in diagram.bins]
            axes.plot(x, y, "os"[place % 2], linestyle="-", color=colour, markersize=5, label=diagram.title)
        axes.set_xlim(0.48, 1.02)
        lowest = min(one.label for diagram in diagrams for one in diagram.bins)
        axes.set_ylim(min(0.45, lowest - 0.05), 1.05)
        axes.set_xlabel("probability of the preferred answer")
        axes.set_ylabel("how often it is the better one")
        without_ticks(axes)
        if len(diagrams) > 1:
            figure.legend(loc="outside upper left", ncols=2, handlelength=1.4)
        return svg_of(figure, name, title)


def lengths_of_labels_plot(steps: Sequence[LengthStep], name: str) -> Markup | None:
    """Return the AI labeler's mean probability of the longer answer by how much longer it is."""
    if len(steps) < 2:
        return None
    with drawing(2.0) as figure:
        axes = figure.subplots()
        axes.axhline(0.5, color=SOFT, linewidth=1)
        for one in steps:
            axes.plot([one.ratio] * 2, [one.low, one.high], color=SERIES[0], linewidth=1.2)
        axes.plot([one.ratio for one in steps], [one.p for one in steps], "o-", color=SERIES[0], markersize=5)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel("words of the longer answer, relative to the shorter")
        axes.set_ylabel("probability of it")
        without_ticks(axes)
        return svg_of(figure, name, "Preference of the AI labeler for longer answers")


def _bars(histogram: Histogram, name: str, x: str, y: str, title: str, middle: float | None = None) -> Markup:
    edges = histogram.edges
    with drawing(2.0) as figure:
        axes = figure.subplots()
        counts = [count or 0.0 for count in histogram.counts]
        widths = [0.92 * (right - left) for left, right in pairwise(edges)]
        axes.bar(edges[:-1], counts, widths, align="edge", color=SERIES[0], edgecolor="none")
        if middle is not None:
            axes.axvline(middle, color=SOFT, linewidth=1)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.locator_params(axis="y", integer=True)
        without_ticks(axes, grid="y")
        return svg_of(figure, name, title)
