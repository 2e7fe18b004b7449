"""Output of `publius run --estimate --vary`: a row for each run, and what all of them take together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from core.notices import counted
from publius.authoring.estimating.varied import VariedEstimate
from publius.console import heading, out
from publius.views.costs.estimate import (
    BOUNDS_LEGEND,
    CUT_FOR_DPO,
    NO_SPEED,
    shown_bounds,
    shown_duration,
    shown_usd,
)

_IF_KNOWN = {"time": "seconds", "USD": "usd"}
"""Columns that are shown if the total is known, with their fields."""


def print_varied_estimate(varied: VariedEstimate) -> None:
    """Print what each run will ask its models, and the total."""
    found = varied.as_json()
    heading("Runs")
    table = Table(box=None, pad_edge=False)
    keys = [key for key, _ in varied.combinations[0].settings]
    for title in keys:
        table.add_column(title, overflow="fold")
    total = found["total"]
    known = [title for title, key in _IF_KNOWN.items() if total[key] is not None]
    for title in ("calls", "in the\ncache", "prompt\ntokens", "generated", *known):
        table.add_column(title, justify="right")
    for combination, run in zip(varied.combinations, found["runs"], strict=True):
        own = run["estimate"]["total"]
        table.add_row(*combination.cells, *_cells(own, f"{own['reused']:,}", known))
    table.add_row("together", *("" for _ in keys[1:]), *_cells(total, "", known))
    out.print(table)
    if any("(" in shown_bounds(one["calls"]) for one in (total, *_totals(found))):
        out.print(BOUNDS_LEGEND)
    if total["shared_calls"]:
        sums = "price is a sum" if total["seconds_shared"] is not None else "time and price are sums"
        out.print(
            f"{counted(total['shared_calls'], 'call')} in common to several runs, sent once; `together` "
            f"counts once, but its {sums} over the runs"
        )
    if any(row["method"] == "dpo" for run in found["runs"] for row in run["estimate"]["training"]):
        out.print(CUT_FOR_DPO)
    if total["seconds"] is None:
        out.print(NO_SPEED)
    if total["usd"] is None:
        out.print("price: no prices; write them to prices.yaml beside the run file, or to engine.prices")


def _totals(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [run["estimate"]["total"] for run in found["runs"]]


def _cells(total: dict[str, Any], reused: str, known: Sequence[str]) -> list[str]:
    """Return the cells of a row behind the varied settings."""
    shown = {
        "time": "" if total["seconds"] is None else shown_duration(total["seconds"]),
        "USD": "" if total["usd"] is None else shown_usd(total["usd"]["expected"]),
    }
    calls, generated = shown_bounds(total["calls"]), f"{total['generated_tokens']['expected']:,}"
    return [calls, reused, f"{total['prompt_tokens']:,}", generated, *(shown[title] for title in known)]
