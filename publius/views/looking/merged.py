"""Output of `publius runs merge`."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from core.errors import shell_command
from core.notices import note
from publius.console import out
from publius.stages.scale.merge import MergedRun


def print_merged(merged: MergedRun) -> None:
    """Print the merged run and how many records each of its files has."""
    given = merged.shards - len(merged.missing)
    out.print(Text(f"{merged.folder}: {given:,} of {merged.shards:,} shards"))
    table = Table(box=None, pad_edge=False)
    table.add_column("records")
    for title in ("all", "new"):
        table.add_column(title, justify="right")
    for name, count in merged.records.items():
        table.add_row(name, f"{count:,}", f"{merged.new[name]:,}")
    out.print(table)
    note("\nNext")
    note(shell_command("publius", "show", merged.folder), plain=True)
    note("    the merged run, which is complete as far as its shards are; it can be exported")
    note("publius run RUN.yaml", plain=True)
    note("    goes on with it: what shards lack, human labels, training and evaluation")
