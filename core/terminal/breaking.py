"""Names in tables of a terminal: where one does not fit, it continues on the next line between its words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

_WORDS = re.compile(r"[^-_/.,\s]*[-_/.,\s]+|[^-_/.,\s]+")
"""The words of a name, each with what separates it from the next one."""


@dataclass(frozen=True)
class BreakableName:
    """A cell with an id, such as `no-exclamation-marks`; only a word wider than the column is broken."""

    name: str

    def lines(self, width: int) -> list[str]:
        """Return the name in lines of at most `width` columns, a longer word alone on its line."""
        found: list[str] = []
        for line in self.name.split("\n"):
            found.append("")
            for word in _WORDS.findall(line):
                if found[-1] and cell_len(found[-1] + word.rstrip()) > width:
                    found.append("")
                found[-1] += word
        return [line.rstrip() for line in found]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines; rich folds a word that is wider than the column."""
        yield Text("\n".join(self.lines(options.max_width)), overflow="fold")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the width of the longest word, and of the longest line."""
        words = (cell_len(word.rstrip()) for word in _WORDS.findall(self.name))
        lines = (cell_len(line) for line in self.name.split("\n"))
        return Measurement(max(words, default=0), max(lines)).with_maximum(options.max_width)
