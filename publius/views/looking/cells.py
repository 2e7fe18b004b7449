"""Cells and tables of `publius show`."""

from __future__ import annotations

from rich.table import Table

SHORT_ID = 8
"""Characters of an id in a table; `publius show RUN ID` accepts any unique beginning."""
_SHOWN = 1000
"""Characters of a text that a cell may need, whatever the width of the terminal."""


def columns(*titles: str) -> Table:
    """Return a table whose first column is text and whose others are numbers.

    In a narrow terminal names continue on the next line, so that neither a name nor a number is cut.
    """
    table = Table(box=None, pad_edge=False)
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left", no_wrap=number > 0, overflow="fold")
    return table


def cell_text(text: str) -> str:
    """Return the beginning of a text without line breaks, for a cell that is cut at its width."""
    return " ".join(text[:_SHOWN].split())


def told_apart(one: str, other: str, width: int) -> tuple[str, str]:
    """Return the beginnings of two texts; where these are alike, from a few words before they differ.

    Args:
        one: a text.
        other: another one.
        width: columns that are shown of each.
    """
    texts = " ".join(one.split()), " ".join(other.split())
    pairs = enumerate(zip(*texts, strict=False))
    same = next((place for place, (left, right) in pairs if left != right), min(map(len, texts)))
    if same <= width // 2:
        return texts[0][:_SHOWN], texts[1][:_SHOWN]
    start = texts[0].rfind(" ", 0, max(0, same - width // 4)) + 1
    lead = "... " if start else ""
    return lead + texts[0][start : start + _SHOWN], lead + texts[1][start : start + _SHOWN]
