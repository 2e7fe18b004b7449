"""Output of who won: how often people preferred which answers, by the names of the file."""

from __future__ import annotations

from collections.abc import Callable

from rich.table import Table

from core.statistics.bootstrap import Interval
from core.terminal.breaking import BreakableName
from labelers.crowd.winners import WhoWon, number_of_votes, origin_in_words
from publius.console import heading, out

_MOST = 12
"""Origins and annotators that are printed; --json has all."""
_COLUMNS = 3
"""Origins up to which each has a column of its own in the table of annotators."""


def print_who_won(found: WhoWon, name_of: Callable[[str], str]) -> None:
    """Print how often people preferred which answers, and what each of them preferred.

    Args:
        found: the counts.
        name_of: returns the name to show for an annotator.
    """
    if not found.answers:
        return
    heading("Who won, by all votes of people")
    out.print(found.in_words(), markup=False)
    table = _table("preferred", "ties", "both bad", "votes", "share, ties half (95 %)")
    for one in found.answers[:_MOST]:
        counts = (number_of_votes(count) for count in (one.preferred, one.ties, one.both_bad, one.votes))
        table.add_row(BreakableName(one.name), *counts, share_in_words(one.share))
    out.print(table)
    if len(found.answers) > _MOST:
        out.print(f"and {len(found.answers) - _MOST:,} more; --json has all")
    if found.alike:
        votes = number_of_votes(found.alike)
        out.print(f"Not in these: {votes} votes on two answers of one origin.")
    if len(found.by_annotator) > 1 and len(found.answers) <= _COLUMNS:
        _print_by_annotator(found, name_of)


def _print_by_annotator(found: WhoWon, name_of: Callable[[str], str]) -> None:
    """Print what each annotator preferred, those with most votes first."""
    names = [one.origin for one in found.answers]
    bad = ["both_bad"] if found.both_bad else []
    table = _table(
        *(BreakableName(origin_in_words(name)) for name in names), "ties", *(["both bad"] if bad else [])
    )
    by_size = sorted(found.by_annotator.items(), key=lambda entry: (-sum(entry[1].values()), entry[0]))
    for annotator, said in by_size[:_MOST]:
        counts = (number_of_votes(said.get(name, 0)) for name in (*names, "tie", *bad))
        table.add_row(BreakableName(name_of(annotator)), *counts)
    out.print()
    out.print(table)
    if len(by_size) > _MOST:
        out.print(f"and {len(by_size) - _MOST:,} more annotators; --json has all")


def share_in_words(share: Interval | None) -> str:
    """Return a share with its interval; empty for none."""
    return "" if share is None else f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})"


def _table(*titles: str | BreakableName) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(overflow="fold")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=isinstance(title, str), overflow="fold")
    return table
