"""Output of `publius check --replies --by`: how many replies keep each rule, by the values of a column."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from rich.table import Table

from core.notices import counted, note
from core.terminal.breaking import BreakableName
from publius.authoring.replies.values import KeptCounts, RulesByValue, ValueCounts
from publius.console import heading, out

_VALUES = 20
"""Values that are shown, those of most replies; --json has all."""
_BESIDE = 4
"""Values beside each other in a table."""
_WIDTH, _NAMES = 12, 24
"""Width of a column of a value, and of that of the rules; what is longer continues on the next line."""
_ALL = "all rules"


def print_by_value(found: RulesByValue, replies: int) -> None:
    """Print the share of replies that keep each rule for each value, some values beside each other."""
    shown = _shown(found.values)
    heading(f"Replies that keep each rule, by {found.column}")
    names = [name for name in shown[0].rules if any(one.rules[name].decided for one in found.values)]
    remaining = iter(shown)
    is_first = True
    while beside := list(islice(remaining, _BESIDE)):
        if not is_first:
            out.print()
        out.print(_table(beside, names))
        is_first = False
    if names:
        note("the second line of a cell is the 95 % interval of its share")
    else:
        note("no rule was decided about any of these replies")
    if len(shown) < len(found.values):
        left = counted(len(found.values) - len(shown), "more value")
        note(f"{left} of {found.column} than the {len(shown)} of most replies; --json has all")
    if found.listed:
        note(f"{found.listed:,} of {replies:,} have several values of {found.column} and count under each")


def _table(values: Sequence[ValueCounts], names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("", max_width=_NAMES, overflow="fold")
    for one in values:
        table.add_column(BreakableName(one.name), justify="right", max_width=_WIDTH, overflow="fold")
    table.add_row("replies", *(f"{one.replies:,}" for one in values))
    for name in names:
        table.add_row(BreakableName(name), *(_cell(one.rules[name]) for one in values))
    if len(names) > 1:
        table.add_row(_ALL, *(_cell(one.keeping) for one in values))
    return table


def _cell(counts: KeptCounts) -> str:
    share = counts.share
    if share is None:
        return ""
    return f"{share.value:.0%} of {counts.decided:,}\n{100 * share.low:.0f}-{100 * share.high:.0f}%"


def _shown(values: Sequence[ValueCounts]) -> list[ValueCounts]:
    """Return the values to show, in their order: all of few, of many those with most replies."""
    most = sorted(range(len(values)), key=lambda place: (-values[place].replies, place))[:_VALUES]
    return [values[place] for place in sorted(most)]
