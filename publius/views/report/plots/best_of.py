"""Plot of best of n by a reward model: reward (proxy) and machine checks (gold) over sqrt(KL)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from publius.views.report.plots.style import SERIES, drawing, svg_of, without_ticks

_PANELS = (("proxy", "reward", 1.0, SERIES[0]), ("gold", "pass checks, %", 100.0, SERIES[2]))
"""Key of `metrics.json`, title, scale and colour of each panel, from top to bottom."""


def best_of_plot(points: Sequence[Mapping[str, Any]], name: str) -> Markup | None:
    """Return reward and checks of the best of n with their intervals; None with fewer than two points.

    Args:
        points: the points of the curve, as in `metrics.json`.
        name: prefix of the ids in the SVG.
    """
    if len(points) < 2:
        return None
    across = [point["sqrt_kl"] for point in points]
    with drawing(3.2) as figure:
        panels = figure.subplots(len(_PANELS), sharex=True)
        for axes, (key, title, scale, colour) in zip(panels, _PANELS, strict=True):
            values, low, high = (
                [scale * point[key][end] for point in points] for end in ("value", "low", "high")
            )
            axes.fill_between(across, low, high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(across, values, "o-", color=colour, markersize=5)
            axes.set_ylabel(title)
            axes.margins(y=0.15)
            without_ticks(axes, grid="y")
        for point, x in zip(points, across, strict=True):
            panels[0].annotate(
                f"n = {point['n']}",
                (x, point["proxy"]["value"]),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
        panels[-1].set_xlabel("sqrt(KL), with KL in nats")
        return svg_of(figure, name, "Reward and machine checks of the best of n answers")
