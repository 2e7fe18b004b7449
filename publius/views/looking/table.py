"""Output of `publius show RUN --to FILE`, and of `--summary-to`."""

from __future__ import annotations

from core.notices import counted, note
from publius.console import out
from publius.runs.pairs.tables import WrittenTable

_PLAIN = {
    "preferences": ", with rounded probabilities; --columns all has ids, weights and exact numbers",
    "answers": "; --columns all has ids too",
}


def print_table(table: WrittenTable) -> None:
    """Print the number of rows and columns, and what is not in the table."""
    out.print(f"wrote {table.path}: {counted(table.rows, 'row')}, {counted(len(table.columns), 'column')}")
    for reason, count in table.left_out.items():
        out.print(f"left out: {count:,} {reason}")
    if table.of == "answers":
        note("the rows are the answers of the evaluation, with the rules that each keeps or breaks by check")
    if table.made_up:
        note(table.made_up)
    if table.is_plain:
        note(f"plain columns{_PLAIN[table.of]}, and --columns NAME,NAME chooses among those")
    if table.quoted:
        note(
            f"{counted(table.quoted, 'cell')} begin with an apostrophe, so that no spreadsheet takes "
            "the text for a formula; a .parquet file has all texts as they are"
        )
