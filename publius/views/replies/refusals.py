"""Output of `publius check --replies --refusals`: shares with intervals, and paired differences of groups."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from core.notices import note
from core.statistics.bootstrap import Interval
from core.terminal.breaking import BreakableName
from publius.authoring.replies.refusing import (
    GivenMeasure,
    GivenRefusals,
    RefusalCounts,
    RefusalDifference,
    name_of_group,
)
from publius.console import heading, out

_NAMES: Mapping[GivenMeasure, str] = {
    "refusal": "full refusals",
    "any_refusal": "full or partial",
    "compliance": "complies",
}
_LABELS = {"safe": "safe", "unsafe": "unsafe", "": "no label"}
_GROUP, _SHARE = 20, 15


def print_given_refusals(found: GivenRefusals) -> None:
    """Print the shares of each label and group, and the differences of groups on the same prompts."""
    by = "" if found.column is None else f", by {found.column}"
    heading(f"Refusals{by}: shares with 95 % intervals")
    table = _table("prompts", found.column is not None)
    for one in found.counts:
        shares = (_share(one.share(measure)) for measure in _NAMES)
        table.add_row(*_named(one, found), f"{len(one.by_prompt):,}", *shares)
    out.print(table)
    if found.differences:
        heading("Differences on prompts that both answered, in points")
        table = _table("prompts", True)
        for two in found.differences:
            points = (_points(two.measures[measure]) for measure in _NAMES)
            table.add_row(_LABELS[two.label], _pair(two), f"{two.prompts:,}", *points)
        out.print(table)
    if any(not one.label for one in found.counts):
        note(
            "prompts without a label safe or unsafe: whether a refusal is right is not known there "
            "(a column label, or --prompts FILE with one)"
        )
    if found.without_prompt:
        note(
            f"{found.without_prompt:,} without a prompt left out of the refusals, which are told by question "
            "and reply"
        )
    note("refusals are told by rules for English: read some (--to FILE.csv has the kind of each reply)")


def _table(counted_by: str, has_groups: bool) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    if has_groups:
        table.add_column("", max_width=_GROUP, overflow="fold")
    for title in (counted_by, *_NAMES.values()):
        table.add_column(title, justify="right", max_width=_SHARE)
    return table


def _named(one: RefusalCounts, found: GivenRefusals) -> tuple[str | BreakableName, ...]:
    label = _LABELS[one.label]
    return (label,) if found.column is None else (label, BreakableName(name_of_group(one.value)))


def _pair(two: RefusalDifference) -> BreakableName:
    return BreakableName(f"{name_of_group(two.second)} - {name_of_group(two.first)}")


def _share(found: Interval) -> str:
    return f"{found.value:.0%} ({100 * found.low:.0f}-{100 * found.high:.0f})"


def _points(found: Interval) -> str:
    low, high = 100 * found.low, 100 * found.high
    return f"{100 * found.value:+.0f} ({low:.0f} to {high:.0f})"
