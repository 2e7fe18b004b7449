"""Plots of labels: how certain the preferences are, and how much the labeler likes one place."""

from __future__ import annotations

from itertools import pairwise

from markupsafe import Markup

from publius.views.report.plots.style import SERIES, SOFT, drawing, svg_of, without_ticks
from publius.views.report.reading.labels import Histogram


def certainty_plot(certainty: Histogram, name: str) -> Markup:
    """Return the histogram of the probability of the chosen answer."""
    return _bars(
        certainty, name, "probability of the chosen answer", "preferences", "Certainty of the preferences"
    )


def slots_plot(slots: Histogram, name: str) -> Markup:
    """Return the histogram of the log-odds of the answer that is shown first."""
    title = "Position bias of the AI labeler"
    return _bars(slots, name, "log-odds of the first place, nats", "judgments", title, middle=0.0)


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
