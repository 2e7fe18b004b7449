"""Output of `publius report`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from core.notices import counted, note
from publius.console import out
from publius.views.report.writing import WrittenReport

_LISTED = 12
"""Alarms that the terminal lists; the page has all."""


def print_written_report(written: WrittenReport) -> None:
    """Print the file of the report, its size, and its alarms, serious ones first."""
    found = written.contents.alarms
    size = f"{written.size_bytes / 1e6:.2f} MB"
    out.print(f"{written.file} ({size}, {counted(len(found), 'alarm')})", soft_wrap=True)
    folder = written.figures_folder
    if written.figures and folder is not None:
        kinds = ", ".join(sorted({path.suffix[1:] for path in written.figures}))
        out.print(f"{folder}: {counted(len(written.figures), 'file')} ({kinds})", soft_wrap=True)
        mains = [f"{what} {path.relative_to(folder)}" for what, path in written.mains]
        if mains:
            out.print(f"  of these first: {', '.join(mains)}", soft_wrap=True)
    several = len(written.contents.runs) > 1
    for alarm, runs in list(found.items())[:_LISTED]:
        who = f" ({_runs(runs, written)})" if several and runs else ""
        head = ("! " if alarm.kind == "serious" else "- ", "bold")
        out.print(Text.assemble(head, (alarm.where, "bold"), f": {alarm.text}{who}"))
    if len(found) > _LISTED:
        out.print(f"  and {counted(len(found) - _LISTED, 'more alarm')}, on the page")
    if found:
        note("an alarm is a reason for caution and stops nothing; ! marks serious ones")


def _runs(labels: Sequence[str], written: WrittenReport) -> str:
    """Return runs by their short names: `A1, A2`; `each run` for all of them."""
    if len(labels) == len(written.contents.runs):
        return "each run"
    keys = written.contents.keys
    return ", ".join(keys.get(label, label) for label in labels)
