"""What commands print: results to standard output, warnings and notes to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from rich.console import Console
from rich.text import Text

out = Console(highlight=False, markup=False, soft_wrap=not sys.stdout.isatty())
err = Console(stderr=True, highlight=False, markup=False, soft_wrap=not sys.stderr.isatty())


def note(message: str) -> None:
    """Print a line about what happens."""
    err.print(Text(message, style="dim"))


def warn(message: str) -> None:
    """Print a line about what the user should know before relying on the result."""
    err.print(Text.assemble(("warning: ", "bold yellow"), message))


def fail(lines: Iterable[str]) -> None:
    """Print what went wrong, one line a problem."""
    for line in lines:
        err.print(Text.assemble(("error: ", "bold red"), line))


def heading(title: str) -> None:
    """Print the heading of a section."""
    out.print(Text(f"\n{title}", style="bold"))


def word_diff(before: str, after: str) -> Text:
    """Return `after` with what went and what came marked by colour and by [-…-] and {+…+}."""
    diff = Text()
    for words, style in _changes(before.split(), after.split()):
        text = " ".join(words)
        if style:
            text = f"[-{text}-]" if style == "red" else f"{{+{text}+}}"
        diff.append(text + " ", style=style)
    diff.rstrip()
    return diff


def _changes(before: list[str], after: list[str]) -> Iterator[tuple[list[str], str]]:
    """Yield runs of words with the style that says whether they stayed, went or came."""
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind == "equal":
            yield before[i1:i2], ""
            continue
        if i2 > i1:
            yield before[i1:i2], "red"
        if j2 > j1:
            yield after[j1:j2], "green"
