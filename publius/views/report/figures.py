"""Named numbers of a report.

Each number on the page is a `Figure` with a name, such as `demo-1a2b3c4d.eval.dpo.compliance`. The page
embeds all of them as JSON, so a program can read what a person sees, and a test can compute them again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.records import Metric

SHARE, COUNT, SECONDS, NATS, USD = "share", "count", "s", "nats", "usd"
"""Units with a form of their own; a number of any other unit has three significant digits."""
_UNIT_NAMES = {"ratio": "times"}
_NOISE = 1e-9
"""Size up to which a number is a rounding error of zero."""
_MOST_DECIMALS = 6
"""Decimals of a small number, beyond which it is written as `1.2e-07`."""
FIELDS = ("name", "value", "unit", "n", "low", "high", "p_value", "simultaneous_low", "simultaneous_high")
"""Fields of a figure in the page's JSON and in the CSV."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a report."""

    name: str
    value: float
    unit: str = ""
    n: int | None = None
    """Number of prompts, comparisons or other cases that it is based on."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    p_value: float | None = None
    is_difference: bool = False
    """True if the value is shown with its sign; differences of shares are in points."""
    simultaneous_low: float | None = None
    """Lower end of the interval that covers together with those of all other differences; shown if known."""
    simultaneous_high: float | None = None

    @property
    def text(self) -> str:
        """The value with its unit, as the page shows it."""
        return shown_number(self.value, self.unit, is_difference=self.is_difference)

    @property
    def bare(self) -> str:
        """The value without its unit, for a table whose heading or row names it."""
        return self.text.removesuffix(_suffix(self))

    @property
    def interval(self) -> str:
        """The interval as `52.0 to 70.9`, without the unit; empty if there is none or all cases are equal."""
        low, high = self.ends
        if low is None or high is None or low == high:
            return ""
        texts = (shown_number(end, self.unit, is_difference=self.is_difference) for end in (low, high))
        return " to ".join(text.removesuffix(_suffix(self)) for text in texts)

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """Both ends of the interval that the page shows."""
        if self.simultaneous_low is not None:
            return self.simultaneous_low, self.simultaneous_high
        return self.low, self.high

    def as_json(self) -> dict[str, Any]:
        """Return the fields that have a value."""
        fields = {name: getattr(self, name) for name in FIELDS}
        return {name: value for name, value in fields.items() if value not in (None, "")}


class FigureBook:
    """The figures of one report, by name."""

    def __init__(self) -> None:
        self._figures: dict[str, Figure] = {}
        self._series: dict[str, list[float | None]] = {}

    def __iter__(self) -> Iterator[Figure]:
        return iter(self._figures.values())

    def __len__(self) -> int:
        return len(self._figures)

    def __getitem__(self, name: str) -> Figure:
        return self._figures[name]

    def add(self, figure: Figure) -> Figure:
        """Add a figure and return it; the same name stands for the same value everywhere."""
        known = self._figures.setdefault(figure.name, figure)
        assert known.value == figure.value, f"two values of {figure.name}"
        return known

    def count(self, name: str, value: int) -> Figure:
        """Add a number of things."""
        return self.add(Figure(name, value, COUNT))

    def metric(self, prefix: str, metric: Metric, *, is_difference: bool = False) -> Figure:
        """Add a metric of an evaluation; its name begins with `prefix`."""
        return self.add(
            Figure(
                f"{prefix}.{metric.name}",
                metric.value,
                metric.unit,
                metric.n,
                metric.low,
                metric.high,
                metric.p_value,
                is_difference,
                metric.simultaneous_low if is_difference else None,
                metric.simultaneous_high if is_difference else None,
            )
        )

    def series(self, name: str, values: Sequence[float | None]) -> Sequence[float | None]:
        """Add the values that a plot is drawn from, and return them."""
        self._series[name] = list(values)
        return values

    def as_json(self) -> dict[str, Any]:
        """Return all figures and series."""
        return {"figures": [figure.as_json() for figure in self], "series": self._series}


def shown_number(value: float, unit: str, *, is_difference: bool = False) -> str:
    """Return a number with its unit, such as `77.1 %`, `+39 points`, `1,234` or `2 min 5 s`."""
    if not math.isfinite(value):
        return "not a number"
    sign = "+" if is_difference and value else ""
    if unit == SHARE:
        text = _fixed(100 * value, sign, 1)
        return _signed(text, is_difference) + (" points" if is_difference else " %")
    if unit == COUNT:
        return f"{value:{sign},.0f}"
    if unit == SECONDS:
        return duration(value)
    if unit == USD:
        return f"${value:,.4f}"
    text = _digits(value, sign, 3 if unit == NATS else 1 if unit in ("words", "tokens") else None)
    return _signed(text, is_difference) + (f" {_UNIT_NAMES.get(unit, unit)}" if unit else "")


def duration(seconds: float) -> str:
    """Return a duration as `0.4 s`, `2 min 5 s` or `3 h 10 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def nested_leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and value of each leaf of nested mappings and lists."""
    if isinstance(value, Mapping):
        children = value.items()
    elif isinstance(value, list):
        children = ((str(number), entry) for number, entry in enumerate(value))  # type: ignore[assignment]
    else:
        yield path, value
        return
    for key, entry in children:
        yield from nested_leaves(entry, f"{path}.{key}" if path else str(key))


def _digits(value: float, sign: str, decimals: int | None) -> str:
    size = abs(value)
    if decimals is None:
        decimals = 1 if size >= 100 else 2 if size >= 10 else 3
        if size and size < 0.01:
            return f"{value:{sign}.2e}"
        if float(value).is_integer():
            decimals = 0
    return _fixed(value, sign, decimals)


def _fixed(value: float, sign: str, decimals: int) -> str:
    """Return a number with so many decimals, or with two significant digits if it would round to zero."""
    if abs(value) > _NOISE and not round(value, decimals):
        digits = 1 - math.floor(math.log10(abs(value)))
        return f"{value:{sign}.{digits}f}" if digits <= _MOST_DECIMALS else f"{value:{sign}.1e}"
    return f"{round(value, decimals) + 0.0:{sign},.{decimals}f}"


def _signed(text: str, is_difference: bool) -> str:
    """Return the text of a difference with a minus sign that is as wide as its plus."""
    return text.replace("-", "−") if is_difference or text.startswith("-") else text


def _suffix(figure: Figure) -> str:
    if figure.unit == SHARE:
        return " points" if figure.is_difference else " %"
    shown = figure.unit and figure.unit not in (COUNT, SECONDS, USD)
    return f" {_UNIT_NAMES.get(figure.unit, figure.unit)}" if shown else ""
