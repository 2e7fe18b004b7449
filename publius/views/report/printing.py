"""Output of `publius report`."""

from __future__ import annotations

from core.notices import counted
from publius.console import out
from publius.views.report.writing import WrittenReport


def print_written_report(written: WrittenReport) -> None:
    """Print the file of the report, its size, and the number of alarms."""
    alarms = sum(len(run.alarms) for run in written.contents.runs) + len(written.contents.training_alarms)
    size = f"{written.size_bytes / 1e6:.2f} MB"
    out.print(f"{written.file} ({size}, {counted(alarms, 'alarm')})", soft_wrap=True)
