"""Output of `publius run --estimate --vary`: a row for each run, and what all of them take together."""

from __future__ import annotations

from rich.table import Table

from publius.authoring.estimating.varied import VariedEstimate
from publius.console import heading, out
from publius.views.costs.estimate import shown_bounds, shown_duration


def print_varied_estimate(varied: VariedEstimate) -> None:
    """Print what each run will ask its models, and the total."""
    found = varied.as_json()
    heading("Runs")
    table = Table(box=None, pad_edge=False)
    keys = [key for key, _ in varied.combinations[0].settings]
    for title in keys:
        table.add_column(title, overflow="fold")
    for title in ("calls", "in the cache", "prompt tokens", "generated", "time", "USD"):
        table.add_column(title, justify="right")
    for combination, run in zip(varied.combinations, found["runs"], strict=True):
        total = run["estimate"]["total"]
        table.add_row(
            *combination.cells,
            shown_bounds(total["calls"]),
            f"{total['reused']:,}",
            f"{total['prompt_tokens']:,}",
            f"{total['generated_tokens']['expected']:,}",
            "" if total["seconds"] is None else shown_duration(total["seconds"]),
            "" if total["usd"] is None else f"{total['usd']['expected']:,.2f}",
        )
    total = found["total"]
    table.add_row(
        "together",
        *("" for _ in keys[1:]),
        shown_bounds(total["calls"]),
        "",
        f"{total['prompt_tokens']:,}",
        f"{total['generated_tokens']['expected']:,}",
        "" if total["seconds"] is None else shown_duration(total["seconds"]),
        "" if total["usd"] is None else f"{total['usd']['expected']:,.2f}",
    )
    out.print(table)
    if total["shared_calls"]:
        out.print(
            f"{total['shared_calls']:,} calls are the same in several runs and sent once; `together` counts "
            "them once, but its time and price are sums over the runs",
            soft_wrap=True,
        )
    if total["seconds"] is None:
        out.print("time: no earlier run of this model measured a speed; give --rate TOKENS_PER_S")
    if total["usd"] is None:
        out.print("price: no prices; write them to prices.yaml beside the run file, or to engine.prices")
