"""Plots of training logs: small multiples, one panel for each metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from markupsafe import Markup

from publius.views.report.plots.style import SERIES, SOFT, drawing, svg_of, without_ticks
from publius.views.report.reading.logs import Curve, TrainingLog, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_PANELS = 12
"""Maximum number of panels; the table of last values has every metric."""
_COLUMNS = 4
SMOOTHED = 20
"""Number of points above which a running mean is drawn over the curve."""


def plotted_curves(training: TrainingLog) -> list[Curve]:
    """Return the curves that are drawn, the most telling metrics first."""
    return [curve for curve in training.curves if len(curve.values) > 1][:MAX_PANELS]


def curves_plot(training: TrainingLog, name: str) -> Markup | None:
    """Return the curves of a training, the most telling metrics first; None if its log is empty."""
    curves = plotted_curves(training)
    if not curves:
        return None
    rows = math.ceil(len(curves) / _COLUMNS)
    with drawing(1.5 * rows + 0.25, width_in=9.2) as figure:
        panels = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True).flat
        for curve, axes in zip(curves, panels, strict=False):
            _draw(axes, thinned(curve))
            axes.set_title(curve.name, fontsize=8)
        for axes in list(panels):
            axes.set_visible(False)
        figure.supxlabel("step", fontsize=8.5, color=SOFT)
        return svg_of(figure, name, f"Training curves of {training.name}")


def _draw(axes: Axes, curve: Curve) -> None:
    steps, values = list(curve.steps), list(curve.values)
    if len(values) <= SMOOTHED:
        axes.plot(steps, values, color=SERIES[0], linewidth=1.5)
    else:
        axes.plot(steps, values, color=SERIES[0], linewidth=1.0, alpha=0.4)
        axes.plot(steps, smoothed(values), color=SERIES[0], linewidth=1.6)
    without_ticks(axes)


def smoothed(values: Sequence[float]) -> list[float]:
    """Return the running mean over a tenth of the values, centred."""
    half = max(1, len(values) // 20)
    return [fmean(values[max(0, n - half) : n + half + 1]) for n in range(len(values))]
