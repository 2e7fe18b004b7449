"""Output of `publius run --estimate`, and of the figures beside it when the run has ended."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from core.notices import counted, note
from publius.authoring.estimating.result import RunEstimate
from publius.console import heading, out

_LEFT = frozenset({"stage", "role", "requests", "method", "what"})
BOUNDS_LEGEND = "numbers with brackets: expected (fewest-most)"
CUT_FOR_DPO = (
    "DPO leaves out pairs whose chosen answer is cut off at its token limit; publius run RUN.yaml "
    "--preview 8 counts them"
)
AS_PREVIEWED = (
    "its examples and steps are for the share of usable pairs in the last preview of these settings: "
)
NO_SPEED = (
    "time: not known, for no run or preview of this project measured the model's speed: "
    "publius run RUN.yaml --preview 4 does, or give --rate TOKENS_PER_S"
)


def print_estimate(estimate: RunEstimate) -> None:
    """Print what a run will ask its models and train, and what that takes and costs."""
    found = estimate.as_json()
    heading("Requests")
    if not found["requests"]:
        out.print(_why_none(estimate))
    else:
        _print_requests(found)
    _print_trainings(found["training"])
    _print_basis(found, estimate)
    _print_totals(found)
    if estimate.leaves_out_eval:
        note("the evaluation is not in it; publius eval RUN.yaml --estimate estimates what that asks")


def _why_none(estimate: RunEstimate) -> str:
    """Return why no request will be sent."""
    if estimate.no_prompts:
        return (
            "none: the split holds out all prompts for the evaluation, which publius run does not make here; "
            "publius eval does"
        )
    return "none: the run has its records, or the request cache all answers"


def _print_requests(found: Mapping[str, Any]) -> None:
    """Print the requests of each stage by role and purpose, and their sum."""
    table = _table(
        "stage", "role", "requests", "calls", "in the\ncache", "prompt\ntokens", "generated", "at most"
    )
    for row in found["requests"]:
        written = row["generated_tokens"]
        table.add_row(
            row["stage"],
            row["role"],
            row["purpose"],
            shown_bounds(row["calls"]),
            f"{row['reused']:,}",
            ("~" if row["counted_by"] == "characters" else "") + shown_tokens(row["prompt_tokens"]),
            shown_tokens(written["expected"]) if written["upper"] else "",
            shown_tokens(written["upper"]) if written["upper"] else "",
        )
    total = found["total"]
    written = total["generated_tokens"]
    table.add_row(
        "total",
        "",
        "",
        shown_bounds(total["calls"]),
        f"{total['reused']:,}",
        shown_tokens(total["prompt_tokens"]),
        shown_tokens(written["expected"]),
        shown_tokens(written["upper"]),
    )
    out.print(table)
    if any("(" in shown_bounds(row["calls"]) for row in [*found["requests"], total]):
        out.print(BOUNDS_LEGEND)
    if any(row["counted_by"] == "characters" for row in found["requests"]):
        out.print("~ estimated from characters (4 a token): the server's tokenizer is not at hand")


def print_beside_estimate(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print the estimate of each stage beside what it took."""
    found = list(rows)
    if not found:
        return
    table = _table("stage", "what", "estimated", "actual")
    for row in found:
        seconds = None if row["estimated_s"] is None else f"{row['estimated_s']:,.0f}"
        lines = {
            "calls": (shown_bounds(row["calls"]), f"{row['asked']:,}"),
            "prompt tokens": (f"{row['prompt_tokens']:,}", f"{row['read']:,}"),
            "generated tokens": (shown_bounds(row["generated_tokens"]), f"{row['written']:,}"),
            **({"seconds": (seconds, f"{row['seconds']:,.0f}")} if seconds else {}),
        }
        shown = {what: cells for what, cells in lines.items() if set(cells) != {"0"}}
        for place, (what, cells) in enumerate(shown.items()):
            table.add_row("" if place else row["stage"], what, *cells)
    if not table.row_count:
        return
    heading("Estimated and actual")
    out.print(table)
    if any("(" in shown_bounds(row[name]) for row in found for name in ("calls", "generated_tokens")):
        out.print(BOUNDS_LEGEND)
    cached = {row["stage"]: row.get("reused", 0) for row in found if row.get("reused", 0)}
    if cached:
        out.print(
            "answers from the request cache, which cost no calls: "
            + ", ".join(f"{stage} {count:,}" for stage, count in cached.items())
        )


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


def _print_basis(found: Mapping[str, Any], estimate: RunEstimate) -> None:
    """Print what the estimate rests on."""
    heading("Based on")
    splits = ", ".join(f"{count:,} {split}" for split, count in found["prompts"].items())
    sample, rows = found["sampled_prompts"], found["rows"]
    if rows is not None:
        out.print(_scaled(rows))
    out.print(f"prompts: {splits}" + (f"; a sample of {sample:,} stands for all" if sample else ""))
    lengths = [f"{row['purpose']} {row['tokens']:.0f} " + _measured(row) for row in found["lengths"]]
    if lengths:
        out.print(f"tokens of an answer: {', '.join(lengths)}")
    if estimate.previewed is not None:
        out.print(f"dpo: {AS_PREVIEWED}{estimate.previewed.in_words()}", markup=False)
    elif any(row["method"] == "dpo" for row in found["training"]):
        out.print(CUT_FOR_DPO)
    for stage, reasons in found["left_out"].items():
        for reason, count in reasons.items():
            out.print(f"{stage}: {count:,} excluded with these lengths: {reason}")


def _measured(length: Mapping[str, Any]) -> str:
    """Return in brackets how many answers a length was measured on, and how many of them are at the limit."""
    if not length["measured_answers"]:
        return "(default)"
    at_limit = f", {length['at_limit']:,} at the limit" if length["at_limit"] else ""
    return f"({length['measured_answers']:,} measured{at_limit})"


def _scaled(rows: Mapping[str, int]) -> str:
    """Return one line about the rows that an estimate is for, of which it imported a part."""
    line = f"rows: {rows['rows']:,}"
    if rows["rows"] > rows["in_file"]:
        line += f" of a file, like the {rows['in_file']:,} of this one"
    if rows["imported"] < rows["in_file"]:
        line += f"; a sample of {rows['imported']:,} stands for all"
    used, imported = rows["used"], rows["imported"]
    line += f"; about {rows['skipped']:,} would be skipped"
    return f"{line}: of {counted(imported, 'row')}, {used:,} ({used / imported:.0%}) are prompts of a run"


def _print_totals(found: Mapping[str, Any]) -> None:
    heading("Time and price")
    total, speed, prices = found["total"], found["speed"], found["prices"]
    served = found["served_roles"]
    if total["seconds"] is None and speed is not None:
        out.print("time: only servers work, and how fast they are is not known")
    elif speed is None:
        out.print(NO_SPEED)
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
        about, lower, upper = (shown_usd(usd[name]) for name in ("expected", "lower", "upper"))
        bounds = "" if lower == upper else f", {lower} to {upper}"
        hours = ", with the hours of this machine" if prices["usd_per_hour"] and total["seconds"] else ""
        out.print(f"price: about {about} USD{bounds} ({prices['source']}{hours})")
    for budget in found["budgets"]:
        out.print(_budget(budget))
    if not (found["rows"] and found["rows"]["rows"] > found["rows"]["in_file"]):
        note("the estimate is kept: when the run has ended, its figures are printed beside it")


def _budget(budget: Mapping[str, Any]) -> str:
    """Return one line about a budget: whether the run can end within it."""
    in_tokens = budget["unit"] == "tokens"
    limit, spent, expected, most = (
        f"{budget[k]:,.0f} tokens" if in_tokens else f"{shown_usd(budget[k])} USD"
        for k in ("limit", "spent", "expected", "most")
    )
    line = f"{budget['where']}: {limit}, {spent} spent; the run needs about {expected} more, at most {most}"
    if budget["spent"] + budget["expected"] > budget["limit"]:
        return f"{line}. It will stop before its end; raise the budget to resume"
    return (
        f"{line}. It may stop before its end" if budget["spent"] + budget["most"] > budget["limit"] else line
    )


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, justify="left" if title in _LEFT else "right", no_wrap=title == "calls")
    return table


def shown_bounds(value: Mapping[str, int]) -> str:
    """Return an expected number, with its bounds if they differ."""
    if value["lower"] == value["upper"]:
        return f"{value['expected']:,}"
    return f"{value['expected']:,} ({value['lower']:,}-{value['upper']:,})"


def shown_tokens(count: int) -> str:
    """Return a number of tokens; from ten million on in millions, which fit a column."""
    return f"{count:,}" if count < 10_000_000 else f"{count / 1e6:,.1f}M"


def shown_usd(dollars: float) -> str:
    """Return US dollars with cents; below a cent, with two significant digits."""
    if dollars == 0 or abs(dollars) >= 0.01:
        return f"{dollars:,.2f}"
    return f"{dollars:.{1 - math.floor(math.log10(abs(dollars)))}f}"


def shown_duration(seconds: float) -> str:
    """Return seconds as `45 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
