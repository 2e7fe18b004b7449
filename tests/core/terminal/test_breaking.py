"""Names in tables: broken between their words, and nowhere else."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from core.terminal.breaking import BreakableName


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (20, ["no-exclamation-marks"]),
        (19, ["no-exclamation-", "marks"]),
        (15, ["no-exclamation-", "marks"]),
        (14, ["no-", "exclamation-", "marks"]),
    ],
)
def test_a_name_continues_after_a_hyphen(width: int, lines: list[str]):
    assert BreakableName("no-exclamation-marks").lines(width) == lines


def test_an_indent_and_line_breaks_of_a_name_stay():
    assert BreakableName("> keep-it-short").lines(9) == ["> keep-", "it-short"]
    assert BreakableName("words,\nrelative to base").lines(40) == ["words,", "relative to base"]
    assert BreakableName("").lines(5) == [""]


def test_numbers_take_their_room_and_the_name_gives_way():
    stream = io.StringIO()
    table = Table(box=None, pad_edge=False)
    table.add_column(overflow="fold")
    table.add_column("value", no_wrap=True)
    table.add_row(BreakableName("no-exclamation-marks"), "61.4 (52.0-70.9)")
    Console(file=stream, width=34).print(table)
    shown = [line.split(maxsplit=1) for line in stream.getvalue().splitlines()[1:]]
    assert shown == [["no-exclamation-", "61.4 (52.0-70.9)"], ["marks"]]
