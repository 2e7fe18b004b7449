"""Look of the plots: small, without a frame, and in colours that the page's theme decides.

matplotlib draws with placeholder colours. In the SVG each becomes a CSS variable, styles become attributes
(the page's content security policy allows no inline styles), and texts stay texts in the page's own font.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

from core.errors import MissingExtraError
from core.lazy import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

PLOTS_EXTRA = "report"
WIDTH_IN = 4.6
"""Width of a plot in inches; the page shows it at 1.0 to 1.6 times this size."""
INK, SOFT, LINE, SHEET = "#010101", "#020202", "#030303", "#040404"
SERIES = tuple(f"#0505{number:02x}" for number in range(1, 9))
ON_DRAWN: ContextVar[Callable[[Any, str], None] | None] = ContextVar("ON_DRAWN", default=None)
"""What is called with each finished drawing and its name; None for nothing."""
_VARIABLES = {INK: "ink", SOFT: "soft", LINE: "line", SHEET: "sheet"} | {
    name: f"series-{number}" for number, name in enumerate(SERIES, start=1)
}
_OF_VARIANTS = {
    "base": SOFT,
    "prompted": SERIES[1],
    "sft": SERIES[2],
    "dpo": SERIES[0],
    "ppo": SERIES[3],
    "rloo": SERIES[4],
    "grpo": SERIES[5],
    "distill": SERIES[6],
    "steered": SERIES[7],
}
_MARKERS = {
    "base": "|",
    "prompted": "s",
    "sft": "D",
    "dpo": "o",
    "ppo": "^",
    "rloo": "v",
    "grpo": "P",
    "distill": "X",
}
_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_ATTRIBUTES = frozenset(
    {
        "fill",
        "stroke",
        "stroke-width",
        "stroke-dasharray",
        "stroke-dashoffset",
        "stroke-linejoin",
        "stroke-linecap",
        "stroke-opacity",
        "fill-opacity",
        "opacity",
        "text-anchor",
        "font-size",
        "font-weight",
    }
)
_FONT = re.compile(r"(?:(?P<weight>\d{3}|bold) )?(?P<size>[\d.]+)px\b.*")
_RC = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "svg.hashsalt": "publius",
    "text.parse_math": False,
    "font.size": 9.0,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelsize": 8.5,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "text.color": INK,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "legend.labelcolor": INK,
    "figure.facecolor": "none",
}


def missing_plots() -> str | None:
    """Return the command that installs matplotlib if it is missing, else None."""
    try:
        require("matplotlib", PLOTS_EXTRA)
    except MissingExtraError as error:
        return error.problems[0].run
    return None


def variant_colour(variant: str) -> str:
    """Return the colour of a variant, the same in every plot."""
    return _OF_VARIANTS.get(variant.partition(".")[0], SERIES[sum(map(ord, variant)) % len(SERIES)])


def variant_marker(variant: str) -> str:
    """Return the marker of a variant, so that colours are not needed to tell variants apart."""
    return _MARKERS.get(variant.partition(".")[0], "*")


@contextmanager
def drawing(height_in: float, width_in: float = WIDTH_IN, **layout: Any) -> Iterator[Drawing]:
    """Yield an empty drawing in the style of the report; draw and save it inside the block."""
    matplotlib = require("matplotlib", PLOTS_EXTRA)
    with matplotlib.rc_context(_RC):
        figure = require("matplotlib.figure", PLOTS_EXTRA).Figure(
            figsize=(width_in, height_in), layout="constrained", **layout
        )
        yield figure


def without_ticks(axes: Axes, *, grid: str = "both") -> None:
    """Remove ticks, and all grid lines but those across one axis."""
    axes.tick_params(length=0)
    if grid != "both":
        axes.grid(visible=False, axis="y" if grid == "x" else "x")


def svg_of(figure: Drawing, name: str, title: str) -> Markup:
    """Return a drawing as inline SVG.

    Args:
        figure: the drawing.
        name: prefix of the ids in the SVG, unique on the page.
        title: description for readers who do not see the plot.
    """
    buffer = io.StringIO()
    nothing = {"Creator": None, "Date": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(buffer.getvalue())
    _clean(root, name)
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.attrib |= {"class": "plot", "role": "img", "aria-label": title}
    if (drawn := ON_DRAWN.get()) is not None:
        drawn(figure, name)
    # ElementTree escapes every text and attribute.
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _clean(root: ElementTree.Element, name: str) -> None:
    """Remove styles and metadata; turn placeholder colours into variables and ids into unique ones."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}style", f"{{{_SVG}}}metadata"):
                parent.remove(child)
    used = set(re.findall(r"#([\w-]+)", " ".join(v for e in root.iter() for v in e.attrib.values())))
    for element in root.iter():
        element.attrib |= _presentation(element.attrib.pop("style", ""))
        if _HREF in element.attrib:
            element.attrib["href"] = f"#{name}-{element.attrib.pop(_HREF).removeprefix('#')}"
        if "clip-path" in element.attrib:
            element.attrib["clip-path"] = element.attrib["clip-path"].replace("url(#", f"url(#{name}-")
        identity = element.attrib.pop("id", None)
        if identity in used:
            element.attrib["id"] = f"{name}-{identity}"
        for attribute in ("fill", "stroke"):
            colour = element.attrib.get(attribute, "").lower()
            if colour in _VARIABLES:
                element.attrib[attribute] = f"var(--{_VARIABLES[colour]})"


def _presentation(style: str) -> dict[str, str]:
    """Return the attributes that stand for an inline style; the font's family is the page's."""
    found: dict[str, str] = {}
    for declaration in style.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font" and (match := _FONT.match(value)):
            found["font-size"] = match["size"]
            if match["weight"]:
                found["font-weight"] = match["weight"]
        elif name in _ATTRIBUTES:
            found[name] = value.removesuffix("px")
    return found
