"""Plots as files for a paper: SVG and PDF in fixed colours, on white or transparent ground."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.store.files import os_errors
from publius.views.report.plots.style import INK, LINE, ON_DRAWN, SERIES, SHEET, SOFT

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_ON_PAPER = {INK: "#000000", SOFT: "#595959", LINE: "#cccccc", SHEET: "#ffffff"} | dict(
    zip(
        SERIES,
        ("#28679c", "#a9710f", "#2f7d6b", "#84499a", "#b0483a", "#66751c", "#a63c70", "#2c5a5f"),
        strict=True,
    )
)
"""Colours of the page's light theme by placeholder, with black and grey for ink."""
_PARTS = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")
_FORMATS = ("svg", "pdf")


@contextmanager
def plots_saved_to(folder: Path) -> Iterator[list[Path]]:
    """Write each plot that is drawn inside the block to a folder, too; yield the list of its files."""
    files: list[Path] = []
    token = ON_DRAWN.set(lambda figure, name: files.extend(_save(figure, folder, name)))
    try:
        yield files
    finally:
        ON_DRAWN.reset(token)


def _save(figure: Drawing, folder: Path, name: str) -> Iterator[Path]:
    """Write a drawing as SVG and PDF in the colours of paper; yield the files."""
    for artist in figure.findobj():
        for part in _PARTS:
            _repaint(artist, part)
    for ending in _FORMATS:
        file = folder / f"{name}.{ending}"
        nothing = {"Date": None} if ending == "svg" else {"CreationDate": None}
        with os_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(file, format=ending, transparent=True, metadata=nothing)
        yield file


def _repaint(artist: Any, part: str) -> None:
    """Replace a placeholder colour of an artist by that of paper."""
    from matplotlib.colors import to_hex, to_rgba_array

    get, put = getattr(artist, f"get_{part}", None), getattr(artist, f"set_{part}", None)
    if get is None or put is None:
        return
    try:
        colours = to_rgba_array(get())
    except (TypeError, ValueError):  # an artist with parts of several kinds
        return
    painted = [_ON_PAPER.get(to_hex(colour), "") for colour in colours]
    if painted and all(painted):
        new = to_rgba_array(painted, [colour[3] for colour in colours])
        put(new[0] if len(new) == 1 else new)
