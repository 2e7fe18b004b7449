"""Output of the choice of a checkpoint: one table of all checkpoints."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from core.notices import counted
from publius.console import heading, out

_CHOSEN = "*"
_MEASURES = {
    "compliance": "complies",
    "graded": "score",
    "neutral_loss": "neutral loss",
    "sameness": "nearly same",
    "finished": "finished",
    "words": "words",
}
"""Measures of a checkpoint with their titles."""
_SHARES = ("compliance", "sameness", "finished")


def print_choice(choice: dict[str, Any] | None) -> None:
    """Print the measures of all checkpoints, which one was chosen, and the limits that the others exceed.

    Args:
        choice: the content of `choice.json`; None if the run has chosen nothing.
    """
    if choice is None:
        return
    held_out = "held-out " if choice["held_out"] else ""
    heading(f"Choice of a checkpoint, {counted(choice['prompts'], f'{held_out}validation prompt')}")
    table = Table(box=None, pad_edge=False)
    for title in ("checkpoint", *_MEASURES.values(), "exceeds"):
        table.add_column(title, justify="left" if title in ("checkpoint", "exceeds") else "right")
    base, *_ = choice["checkpoints"]
    for checkpoint in choice["checkpoints"]:
        name = checkpoint["name"]
        cells = (_cell(checkpoint, base, measure) for measure in _MEASURES)
        limits = ", ".join(limit["limit"] for limit in checkpoint["exceeds"])
        table.add_row(name + _CHOSEN * (name == (choice["chosen"] or base["name"])), *cells, limits)
    out.print(table)
    out.print(f"{_CHOSEN} chosen; `exceeds` names the limits of the section `choose` that are not met")


def _cell(checkpoint: dict[str, Any], base: dict[str, Any], measure: str) -> str:
    value = checkpoint[measure]
    if value is None:
        return ""
    if measure in _SHARES:
        return f"{100 * value:.1f} %"
    if measure == "neutral_loss":
        rise = "" if checkpoint is base else f" ({value - base[measure]:+.3f})"
        return f"{value:.3f}{rise}"
    return f"{value:.1f}" if measure == "words" else f"{value:.2f}"
