"""Output of `publius runs`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from core.errors import shell_command
from core.notices import note, warn
from publius.console import out
from publius.views.looking.listing import ListedRun, RunListing

_TITLES = ("constitution", "started", "stage", "prompts", "preferences", "gates")
_COUNTS = ("prompts", "preferences")
"""Columns of numbers."""
_DATE = "%Y-%m-%d %H:%M"


def print_runs(listing: RunListing) -> None:
    """Print two lines for each run: its name, which is never cut, and below it what it has."""
    for name, reason in listing.unreadable.items():
        warn(f"{listing.folder / name} is not listed: {reason}")
    if not listing.runs:
        out.print(Text(f"no runs in {listing.folder}"))
        note("publius run RUN.yaml makes one")
        return
    rows = [_TITLES, *map(_cells, listing.runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        style = "" if number else "bold"
        named = Text().append(listing.runs[number - 1].folder.name if number else "run", style="bold")
        out.print(named.append(_made_up(listing.runs[number - 1].scripted) if number else ""))
        cells = (
            cell.rjust(width) if title in _COUNTS else cell.ljust(width)
            for title, cell, width in zip(_TITLES, row, widths, strict=True)
        )
        out.print(Text("  ".join(["", *cells]).rstrip(), style=style))
    note("\n" + shell_command("publius", "show", listing.runs[0].folder), plain=True)


def _cells(run: ListedRun) -> tuple[str, ...]:
    """Return the cells of the line below a run's name."""
    return (
        run.constitution or "not readable",
        _moment(run.created),
        run.stage or "-",
        f"{run.prompts:,}",
        f"{run.preferences:,}",
        _gates(run),
    )


def _made_up(scripted: Sequence[str]) -> str:
    """Return what a run's name is followed by if no model wrote its texts, or decided its labels."""
    if not scripted:
        return ""
    return f"  {'labels' if tuple(scripted) == ('labeler',) else 'texts'} are made up (scripted engine)"


def _moment(created: str) -> str:
    try:
        return datetime.fromisoformat(created).strftime(_DATE)
    except ValueError:
        return created[: len("2026-01-01 00:00")]


def _gates(run: ListedRun) -> str:
    """Return the outcomes of the gates, the worst alone: `2 fail`, `1 inconclusive`, `all pass`."""
    if not run.gates:
        return "-"
    for outcome in ("fail", "inconclusive"):
        if count := run.gates.get(outcome):
            return f"{count} {'unclear' if outcome == 'inconclusive' else outcome}"
    return "all pass"
