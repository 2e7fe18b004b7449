"""The gates of a run: limits of its evaluation's metrics, and whether they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evaluation.gates.recorded import gate_results
from publius.views.report.figures import Figure, FigureBook

_MARKS = {"pass": "\u2713", "fail": "\u2717", "inconclusive": "?"}


@dataclass(frozen=True)
class ShownGate:
    """One gate and its outcome."""

    name: str
    limit: str
    outcome: str
    value: Figure
    more_prompts: Figure | None
    """Number of further prompts that would decide an inconclusive gate."""
    blocks: bool
    """True if the run is not exported because of it."""
    is_default: bool

    @property
    def mark(self) -> str:
        """A sign for the outcome, so that a colour is not needed to tell it."""
        return _MARKS[self.outcome]


def read_gates(content: Mapping[str, Any], prefix: str, book: FigureBook) -> tuple[ShownGate, ...]:
    """Return the gates in the content of `metrics.json`; none in that of older versions."""
    shown = []
    for result in gate_results(content):
        name = f"{prefix}.gates.{result.gate}"
        more = result.more_prompts
        difference = ".delta" in result.gate
        value = Figure(
            name, result.value, result.unit, result.n, result.low, result.high, is_difference=difference
        )
        shown.append(
            ShownGate(
                result.gate,
                result.limit,
                result.outcome,
                book.add(value),
                None if more is None else book.count(f"{name}.more_prompts", more),
                result.blocks,
                result.is_default,
            )
        )
    return tuple(shown)
