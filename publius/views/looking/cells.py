"""Cells and tables of `publius show`."""

from __future__ import annotations

from rich.table import Table

SHORT_ID = 8
"""Characters of an id in a table; `publius show RUN ID` accepts any unique beginning."""
_SHOWN = 1000
"""Characters of a text that a cell may need, whatever the width of the terminal."""


def columns(*titles: str) -> Table:
    """Return a table whose first column is text and whose others are numbers."""
    table = Table(box=None, pad_edge=False)
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left", no_wrap=True, overflow="ellipsis")
    return table


def cell_text(text: str) -> str:
    """Return the beginning of a text without line breaks, for a cell that is cut at its width."""
    return " ".join(text[:_SHOWN].split())
