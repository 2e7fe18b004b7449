"""Output of `publius runs`."""

from __future__ import annotations

from datetime import datetime

from rich.table import Table
from rich.text import Text

from core.errors import shell_command
from core.notices import note, warn
from publius.console import out
from publius.views.looking.listing import ListedRun, RunListing

_DATE = "%Y-%m-%d %H:%M"


def print_runs(listing: RunListing) -> None:
    """Print the runs as a table that fits in a terminal of 80 columns."""
    for name, reason in listing.unreadable.items():
        warn(f"{listing.folder / name} is not listed: {reason}")
    if not listing.runs:
        out.print(Text(f"no runs in {listing.folder}"))
        note("publius run RUN.yaml makes one")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("run, constitution", overflow="fold")
    for title in ("started", "stage", "prompts", "preferences", "gates"):
        right = title in ("prompts", "preferences")
        table.add_column(title, justify="right" if right else "left", no_wrap=not right)
    for run in listing.runs:
        cell = Text.assemble(run.folder.name, "\n", (f"  {run.constitution or 'not readable'}", "dim"))
        counts = f"{run.prompts:,}", f"{run.preferences:,}"
        table.add_row(cell, _moment(run.created), run.stage or "-", *counts, _gates(run))
    out.print(table)
    note("\n" + shell_command("publius", "show", listing.runs[0].folder))


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
