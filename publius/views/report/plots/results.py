"""Plots of an evaluation: differences from base, the price of compliance, the loop, and answer lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from evaluation.config import BASE
from evaluation.measures import COMPLIANCE
from evaluation.quality import NEUTRAL_LOSS
from evaluation.win_rate import WIN_RATE
from publius.views.report.figures import SHARE
from publius.views.report.plots.style import (
    INK,
    SHEET,
    SOFT,
    drawing,
    svg_of,
    variant_colour,
    variant_marker,
    without_ticks,
)
from publius.views.report.reading.loop import LoopResults
from publius.views.report.reading.results import MeasureRow, Results

_ROW_IN, _VARIANT_IN = 0.26, 0.15
_PRICES = ("kl", NEUTRAL_LOSS)
"""Measures of what training costs; the first one that was measured is drawn."""


def differences_plot(results: Results, name: str) -> Markup | None:
    """Return the differences of all shares from base, in points, with their intervals."""
    rows = [row for row in results.rows if row.unit == SHARE and any(c and c.delta for c in row.cells)]
    variants = [variant for variant in results.variants if variant != BASE]
    if not rows or not variants:
        return None
    height = len(rows) * (_ROW_IN + _VARIANT_IN * len(variants)) + 0.7
    with drawing(height) as figure:
        axes = figure.subplots()
        step = _ROW_IN + _VARIANT_IN * len(variants)
        for number, row in enumerate(rows):
            axes.text(
                0.0, number * step, row.title, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5
            )
            for place, variant in enumerate(variants, start=1):
                _draw_difference(
                    axes, row, variant, number * step + _ROW_IN * 0.7 + _VARIANT_IN * (place - 1)
                )
        axes.axvline(0, color=SOFT, linewidth=1)
        axes.set_ylim(len(rows) * step - 0.1, -0.2)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("difference from base, points (filled: more than noise)")
        without_ticks(axes, grid="x")
        _legend(figure, variants)
        return svg_of(figure, name, "Differences from base with 95 % intervals")


def _draw_difference(axes: Any, row: MeasureRow, variant: str, y: float) -> None:
    cell = row.of(variant)
    if cell is None or cell.delta is None:
        return
    colour, delta = variant_colour(variant), cell.delta
    low, high = delta.ends
    if low is not None and high is not None:
        axes.plot([100 * low, 100 * high], [y, y], color=colour, linewidth=1.6, solid_capstyle="round")
    face = colour if cell.is_beyond_noise else SHEET
    axes.plot(
        [100 * delta.value], [y], variant_marker(variant), color=colour, markerfacecolor=face, markersize=5
    )


def tradeoff_plot(results: Results, name: str) -> Markup | None:
    """Return compliance against what it cost, one point for each variant."""
    gain = results.row(COMPLIANCE) or results.row(WIN_RATE)
    price = next((row for measure in _PRICES if (row := results.row(measure)) is not None), None)
    if gain is None or price is None:
        return None
    pairs = [(gain.of(variant), price.of(variant)) for variant in results.variants]
    known = [(up, across) for up, across in pairs if up is not None and across is not None]
    if len(known) < 2:
        return None
    with drawing(2.9) as figure:
        axes = figure.subplots()
        for up, across in known:
            x, y, colour = across.value, up.value, variant_colour(up.variant)
            if y.low is not None and y.high is not None:
                axes.plot([x.value] * 2, [100 * y.low, 100 * y.high], color=colour, linewidth=1.2)
            if x.low is not None and x.high is not None:
                axes.plot([x.low, x.high], [100 * y.value] * 2, color=colour, linewidth=1.2)
            axes.plot([x.value], [100 * y.value], variant_marker(up.variant), color=colour, markersize=6)
            axes.annotate(
                up.variant, (x.value, 100 * y.value), xytext=(6, 5), textcoords="offset points", fontsize=8.5
            )
        axes.margins(x=0.18, y=0.12)
        axes.set_ylabel(f"{gain.title}, %")
        axes.set_xlabel(f"{price.title}{f', {price.unit}' if price.unit not in ('', price.title) else ''}")
        without_ticks(axes)
        return svg_of(figure, name, f"{gain.title} against {price.title} by variant")


def loop_plot(loop: LoopResults, name: str) -> Markup | None:
    """Return the share of answers that pass all machine checks: the draft, and after each round."""
    if len(loop.compliant) < 2:
        return None
    with drawing(2.2) as figure:
        axes = figure.subplots()
        shares = [100 * figure.value for figure in loop.compliant]
        places = list(range(len(shares)))
        axes.plot(places, shares, "o-", color=variant_colour("dpo"), markersize=6)
        for place, share in zip(places, shares, strict=True):
            axes.annotate(
                f"{share:.0f} %",
                (place, share),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
            )
        axes.set_xticks(places, ["draft", *(f"after round {number}" for number in places[1:])])
        axes.set_ylim(0, 108)
        axes.set_xlim(-0.4, len(shares) - 0.6)
        axes.set_ylabel("pass all checks, %")
        without_ticks(axes, grid="y")
        return svg_of(figure, name, "Answers that pass all machine checks after each round of the loop")


def lengths_plot(words: Mapping[str, Sequence[float]], name: str) -> Markup | None:
    """Return the distribution of answer lengths of each variant: median, quartiles, and every answer."""
    if not words:
        return None
    with drawing(0.42 * len(words) + 0.6) as figure:
        axes = figure.subplots()
        names = list(words)
        axes.boxplot(
            [list(words[variant]) for variant in names],
            orientation="horizontal",
            widths=0.5,
            showfliers=False,
            medianprops={"color": INK, "linewidth": 1.6},
            boxprops={"color": SOFT},
            whiskerprops={"color": SOFT},
            capprops={"color": SOFT},
        )
        for place, variant in enumerate(names, start=1):
            axes.plot(
                words[variant],
                [place] * len(words[variant]),
                "|",
                color=variant_colour(variant),
                alpha=0.55,
                markersize=7,
            )
        axes.set_yticks(range(1, len(names) + 1), names)
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel("words of an answer")
        without_ticks(axes, grid="x")
        return svg_of(figure, name, "Words of the answers of each variant")


def _legend(figure: Any, variants: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=variant_colour(v), marker=variant_marker(v), markersize=5, label=v)
        for v in variants
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(4, len(variants)), handlelength=1.4)
