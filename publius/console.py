"""What commands print: results to standard output, notices and errors to standard error."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from difflib import SequenceMatcher
from typing import Any, Protocol, TextIO, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from core.notices import LOGGER

_UNPRINTABLE = {
    code: None
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000))
    if chr(code) not in "\n\t"
}
"""Control characters, with which a text could drive the terminal, and halves of characters."""


class SafeConsole(Console):
    """A console whose terminal no text can drive, whoever wrote it; colours of ours are no text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is printed, with control characters taken out of the texts."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else segment.text.translate(_UNPRINTABLE)
            yield segment._replace(text=text)


_FILE_WIDTH = 100
"""Columns where nobody's terminal says how many there are: a table of four models fits."""


def _width(stream: TextIO) -> int | None:
    return None if stream.isatty() or "COLUMNS" in os.environ else _FILE_WIDTH


out = SafeConsole(highlight=False, markup=False, soft_wrap=not sys.stdout.isatty(), width=_width(sys.stdout))
err = SafeConsole(stderr=True, highlight=False, markup=False, soft_wrap=not sys.stderr.isatty())


class Result(Protocol):
    """The result of an operation, which commands print."""

    def as_json(self) -> Any:
        """Return the result as JSON-able values."""


Printed = TypeVar("Printed", bound=Result)


def emit(
    result: Printed, as_json: bool, view: Callable[[Printed], object], *, on_one_line: bool = False
) -> None:
    """Print a result: as JSON for a program, or by its view for people.

    Args:
        result: what is printed.
        as_json: whether it is printed as JSON.
        view: prints it for people.
        on_one_line: Print the JSON on one line, for a command that prints more than one result.
    """
    if not as_json:
        view(result)
    elif on_one_line:
        out.print(json.dumps(result.as_json()))
    else:
        print_json(result)


def print_json(result: Result) -> None:
    """Print a result as JSON."""
    out.print_json(json.dumps(result.as_json()))


class NoticeHandler(logging.Handler):
    """Writes notices to standard error: notes dim, warnings with their name in front."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one notice."""
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            err.print(Text.assemble(("warning: ", "bold yellow"), message))
        else:
            err.print(Text(message, style="dim"))


def attach_notices() -> None:
    """Print the notices of this process from now on, however often it is called."""
    if not any(isinstance(handler, NoticeHandler) for handler in LOGGER.handlers):
        LOGGER.addHandler(NoticeHandler())
    LOGGER.setLevel(logging.INFO)


def be_silent() -> None:
    """Print nothing but errors from now on: another process of the same training speaks."""
    LOGGER.setLevel(logging.ERROR)
    out.quiet = True


def fail(lines: Iterable[str]) -> None:
    """Print what went wrong, one line a problem."""
    for line in lines:
        err.print(Text.assemble(("error: ", "bold red"), line))


def heading(title: str) -> None:
    """Print the heading of a section."""
    out.print(Text(f"\n{title}", style="bold"))


def word_diff(before: str, after: str, context: int | None = None) -> Text:
    """Return `after` with what went and what came marked by colour and by [-…-] and {+…+}.

    Args:
        before: the older text.
        after: the newer one.
        context: of longer runs of words that stayed, only so many at each end are shown; None for all.
    """
    diff = Text()
    for words, style in _changes(before.split(), after.split()):
        text = " ".join(words)
        if not style and context is not None and len(words) > 2 * context:
            text = " ".join([*words[:context], "…", *words[-context:]])
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
