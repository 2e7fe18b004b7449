"""Plot of several runs: each group's value of each measure, with its interval and the value of each seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from publius.views.report.comparing.groups import ComparedMeasure, GroupCell
from publius.views.report.figures import SHARE
from publius.views.report.plots.style import SERIES, SHEET, drawing, svg_of, without_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_ROW_IN, _GROUP_IN = 0.26, 0.17
_MARKERS = "osD^vPX*"


def groups_plot(measures: Sequence[ComparedMeasure], name: str) -> Markup | None:
    """Return the shares of one variant in all groups; small dots are single runs."""
    rows = [row for row in measures if any(cell and cell.value.unit == SHARE for cell in row.cells)]
    if not rows:
        return None
    keys = list(dict.fromkeys(cell.group for row in rows for cell in row.cells if cell))
    step = _ROW_IN + _GROUP_IN * len(keys)
    with drawing(len(rows) * step + 0.7) as figure:
        axes = figure.subplots()
        left = axes.get_yaxis_transform()
        for number, row in enumerate(rows):
            axes.text(0.0, number * step, row.title, transform=left, va="center", fontsize=8.5)
            for cell in filter(None, row.cells):
                place = keys.index(cell.group)
                _draw_cell(axes, cell, place, number * step + _ROW_IN * 0.6 + _GROUP_IN * (place + 0.6))
        axes.set_ylim(len(rows) * step - 0.05, -0.2)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("% (filled: differs from A by more than noise; dots: seeds)")
        without_ticks(axes, grid="x")
        _legend(figure, keys)
        return svg_of(figure, name, "Measures of each group with 95 % intervals")


def _draw_cell(axes: Axes, cell: GroupCell, place: int, y: float) -> None:
    colour, value = SERIES[place % len(SERIES)], cell.value
    if value.low is not None and value.high is not None:
        axes.plot([100 * value.low, 100 * value.high], [y, y], color=colour, solid_capstyle="round")
    if len(cell.runs) > 1:
        points = [100 * run.value for run in cell.runs]
        axes.plot(points, [y + 0.045] * len(points), ".", color=colour, markersize=4)
    face = colour if cell.is_beyond_noise else SHEET
    marker = _MARKERS[place % len(_MARKERS)]
    axes.plot([100 * value.value], [y], marker, color=colour, markerfacecolor=face, markersize=5)


def _legend(figure: Drawing, keys: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    looks = [(SERIES[n % len(SERIES)], _MARKERS[n % len(_MARKERS)]) for n in range(len(keys))]
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=5, label=key)
        for key, (colour, marker) in zip(keys, looks, strict=True)
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(6, len(keys)), handlelength=1.4)
