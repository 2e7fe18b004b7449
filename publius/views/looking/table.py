"""Output of `publius show RUN --to FILE`."""

from __future__ import annotations

from core.notices import counted, note
from publius.console import out
from publius.runs.pairs.tables import WrittenTable


def print_table(table: WrittenTable) -> None:
    """Print the number of rows and columns, and what is not in the table."""
    out.print(f"wrote {table.path}: {counted(table.rows, 'row')}, {counted(len(table.columns), 'column')}")
    for reason, count in table.left_out.items():
        out.print(f"left out: {count:,} {reason}")
    if table.quoted:
        note(
            f"{counted(table.quoted, 'cell')} begin with an apostrophe, so that no spreadsheet takes "
            "the text for a formula; a .parquet file has all texts as they are"
        )
