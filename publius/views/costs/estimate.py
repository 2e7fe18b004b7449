"""Output of `publius run --estimate`, and of the figures beside it when the run has ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from core.notices import note
from publius.authoring.estimating.result import RunEstimate
from publius.console import heading, out

_LEFT = frozenset({"stage", "role", "requests", "method"})


def print_estimate(estimate: RunEstimate) -> None:
    """Print what a run will ask its models and train, and what that takes and costs."""
    found = estimate.as_json()
    heading("Requests")
    table = _table(
        "stage", "role", "requests", "calls", "in the cache", "prompt tokens", "generated", "at most"
    )
    for row in found["requests"]:
        written = row["generated_tokens"]
        table.add_row(
            row["stage"],
            row["role"],
            row["purpose"],
            shown_bounds(row["calls"]),
            f"{row['reused']:,}",
            ("~" if row["counted_by"] == "characters" else "") + f"{row['prompt_tokens']:,}",
            f"{written['expected']:,}" if written["upper"] else "",
            f"{written['upper']:,}" if written["upper"] else "",
        )
    total = found["total"]
    written = total["generated_tokens"]
    table.add_row(
        "total",
        "",
        "",
        shown_bounds(total["calls"]),
        f"{total['reused']:,}",
        f"{total['prompt_tokens']:,}",
        f"{written['expected']:,}",
        f"{written['upper']:,}",
    )
    out.print(table)
    if any(row["counted_by"] == "characters" for row in found["requests"]):
        out.print("~ estimated from characters (4 a token): the server's tokenizer is not at hand")
    _print_trainings(found["training"])
    _print_basis(found)
    _print_totals(found)


def print_beside_estimate(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print the estimate of each stage beside what it took."""
    found = list(rows)
    if not found:
        return
    heading("Estimated and actual")
    table = _table(
        "stage", "calls", "actual", "prompt tokens", "actual", "generated", "actual", "s", "actual"
    )
    for row in found:
        table.add_row(
            row["stage"],
            shown_bounds(row["calls"]),
            f"{row['asked']:,}",
            f"{row['prompt_tokens']:,}",
            f"{row['read']:,}",
            shown_bounds(row["generated_tokens"]),
            f"{row['written']:,}",
            "" if row["estimated_s"] is None else f"{row['estimated_s']:,.0f}",
            f"{row['seconds']:,.0f}",
        )
    out.print(table)


def _print_trainings(trainings: Iterable[Mapping[str, Any]]) -> None:
    rows = list(trainings)
    if not rows:
        return
    heading("Training")
    table = _table("method", "examples", "steps", "tokens", "sampled tokens", "at most")
    for row in rows:
        sampled = row.get("generated_tokens")
        table.add_row(
            row["method"],
            f"{row['examples']:,}",
            f"{row['steps']:,}",
            f"{row['tokens']:,}",
            f"{sampled['expected']:,}" if sampled else "",
            f"{sampled['upper']:,}" if sampled else "",
        )
    out.print(table)


def _print_basis(found: Mapping[str, Any]) -> None:
    """Print what the estimate rests on."""
    heading("Based on")
    splits = ", ".join(f"{count:,} {split}" for split, count in found["prompts"].items())
    sample = found["sampled_prompts"]
    out.print(f"prompts: {splits}" + (f"; a sample of {sample:,} stands for all" if sample else ""))
    lengths = [
        f"{row['purpose']} {row['tokens']:.0f} "
        + (f"({row['measured_answers']:,} measured)" if row["measured_answers"] else "(default)")
        for row in found["lengths"]
    ]
    if lengths:
        out.print(f"tokens of an answer: {', '.join(lengths)}")
    for stage, reasons in found["left_out"].items():
        for reason, count in reasons.items():
            out.print(f"{stage}: {count:,} excluded with these lengths: {reason}")


def _print_totals(found: Mapping[str, Any]) -> None:
    heading("Time and price")
    total, speed, prices = found["total"], found["speed"], found["prices"]
    served = found["served_roles"]
    if total["seconds"] is None and speed is not None:
        out.print("time: only servers work, and how fast they are is not known")
    elif speed is None:
        out.print("time: no earlier run of this model measured a speed; give --rate TOKENS_PER_S")
    else:
        out.print(
            f"time: about {shown_duration(total['seconds'])}, "
            f"at {speed['generated_per_s']:,g} generated tokens/s "
            f"({speed['source']})"
            + (f"; without what servers answer ({', '.join(served)})" if served else "")
        )
    if total["usd"] is None:
        out.print("price: no prices; write them to prices.yaml beside the run file, or to engine.prices")
    else:
        usd = total["usd"]
        out.print(
            f"price: about {usd['expected']:,.2f} USD, {usd['lower']:,.2f} to {usd['upper']:,.2f} "
            f"({prices['source']})"
        )
    for budget in found["budgets"]:
        out.print(_budget(budget))
    note("the estimate is kept: when the run has ended, its figures are printed beside it")


def _budget(budget: Mapping[str, Any]) -> str:
    """Return one line about a budget: whether the run can end within it."""
    form = "{:,.0f} tokens" if budget["unit"] == "tokens" else "{:,.2f} USD"
    limit, spent, expected, most = (form.format(budget[k]) for k in ("limit", "spent", "expected", "most"))
    line = f"{budget['where']}: {limit}, {spent} spent; the run needs about {expected} more, at most {most}"
    if budget["spent"] + budget["expected"] > budget["limit"]:
        return f"{line}. It will stop before its end; raise the budget to resume"
    return (
        f"{line}. It may stop before its end" if budget["spent"] + budget["most"] > budget["limit"] else line
    )


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, justify="left" if title in _LEFT else "right")
    return table


def shown_bounds(value: Mapping[str, int]) -> str:
    """Return an expected number, with its bounds if they differ."""
    if value["lower"] == value["upper"]:
        return f"{value['expected']:,}"
    return f"{value['expected']:,} ({value['lower']:,}-{value['upper']:,})"


def shown_duration(seconds: float) -> str:
    """Return seconds as `45 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
