"""Console output: results go to standard output, notices and errors to standard error."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TextIO, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.highlighter import JSONHighlighter
from rich.segment import Segment
from rich.text import Text
from rich.theme import Theme

from core.notices import LOGGER
from core.terminal.inert import inert, inert_json
from core.text.similarity import WordChange, word_changes


class SafeConsole(Console):
    """A console that strips control and direction characters, so untrusted text cannot drive the terminal.

    Rich's own control segments, such as colours, pass through. Text is printed as it is: square brackets are
    no markup, and `:100:` in `rules.yaml:100:9:` is no emoji.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments to print, with the characters that a terminal obeys removed from their text."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else inert(segment.text)
            yield segment._replace(text=text)


ALARM, CAUTION = "color(131)", "color(163)"
"""Of a terminal's 256 colours, the red and the magenta that can be read on black and on white (contrast of at
least 4.5): red itself is too dark on black, and green, cyan and yellow are too bright on white."""
_STYLES: Mapping[WordChange, str] = {"same": "", "removed": ALARM, "added": "bold"}
_PLAIN = ("str", "number", "bool_true", "bool_false", "null", "brace")
_THEME = Theme({f"json.{kind}": "none" for kind in _PLAIN} | {"json.key": "bold"})
"""JSON has bold keys and no colours: some of rich's are too dark on black, others too bright on white."""
_FILE_WIDTH = 100
"""Columns of output that does not go to a terminal; a table of four models fits."""


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _width(stream: TextIO | None) -> int | None:
    return None if _is_terminal(stream) or "COLUMNS" in os.environ else _FILE_WIDTH


out = SafeConsole(soft_wrap=not _is_terminal(sys.stdout), width=_width(sys.stdout), theme=_THEME)
err = SafeConsole(stderr=True, soft_wrap=not _is_terminal(sys.stderr))


class Result(Protocol):
    """The result of an operation, as commands print it."""

    def as_json(self) -> Any:
        """Return the result as JSON-able values."""


@dataclass(frozen=True)
class _Marked:
    """A result whose JSON says that texts or labels are made up."""

    result: Result
    made_up: str

    def as_json(self) -> Any:
        """Return the JSON of the result with the key `made_up`."""
        return {"made_up": self.made_up, **self.result.as_json()}


Printed = TypeVar("Printed", bound=Result)


def emit(
    result: Printed,
    as_json: bool,
    view: Callable[[Printed], object],
    *,
    on_one_line: bool = False,
    made_up: str = "",
) -> None:
    """Print a result, either as JSON or as text for humans.

    Args:
        result: the result to print.
        as_json: print it as JSON.
        view: prints it as text; unused if `as_json`.
        on_one_line: print the JSON on one line, for a command that prints more than one result.
        made_up: what the scripted engine made up, as a clause: a line before the text, and a key of the JSON.
    """
    found: Result = _Marked(result, made_up) if made_up else result
    if not as_json:
        if made_up:
            out.print(Text(f"{made_up[0].upper()}{made_up[1:]}."))
        view(result)
    elif on_one_line:
        print_lines(json.dumps(found.as_json()) + "\n")
    else:
        print_json(found)


def note_made_up(made_up: str) -> None:
    """Print on standard error what the scripted engine made up, if anything, where output is for programs."""
    if made_up:
        LOGGER.info(made_up)


def print_json(result: Result) -> None:
    """Print a result as JSON that a program reads back without a loss."""
    text = json.dumps(result.as_json(), ensure_ascii=False, indent=2)
    out.print(JSONHighlighter()(inert_json(text)), soft_wrap=True)


def print_lines(text: str) -> None:
    """Print lines of JSON, unchanged but for escapes of the characters that a terminal obeys."""
    out.print(Text(inert_json(text)), end="", soft_wrap=True)


class NoticeHandler(logging.Handler):
    """Writes notices to standard error: most notes in dim text, warnings with the prefix `warning:`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one notice."""
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            err.print(Text.assemble(("warning: ", f"bold {CAUTION}"), message))
        else:
            plain = getattr(record, "plain", False)  # a command stays one line, to be copied
            err.print(Text(message, style="" if plain else "dim"), soft_wrap=plain or None)


def attach_notices() -> None:
    """Print the notices of this process from now on. Calling it again has no effect."""
    if not any(isinstance(handler, NoticeHandler) for handler in LOGGER.handlers):
        LOGGER.addHandler(NoticeHandler())
    LOGGER.setLevel(logging.INFO)
    # It advises a package for 4-bit kernels whenever peft imports it, also if no weights have 4 bits.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def be_silent() -> None:
    """Print only errors from now on, since another process of the same training prints the rest."""
    LOGGER.setLevel(logging.ERROR)
    out.quiet = True


def fail(lines: Iterable[str]) -> None:
    """Print errors, one line each."""
    for line in lines:
        err.print(Text.assemble(("error: ", f"bold {ALARM}"), line))


def heading(title: str) -> None:
    """Print the heading of a section."""
    out.print(Text(f"\n{title}", style="bold"))


def word_diff(before: str, after: str, context: int | None = None) -> Text:
    """Return the word diff of two texts: removed words as red [-…-], added words as bold {+…+}.

    Args:
        before: the older text.
        after: the newer text.
        context: unchanged words to show at each end of a run of them; None shows all.
    """
    diff = Text()
    for words, change in word_changes(before.split(), after.split()):
        text = " ".join(words)
        if change == "same" and context is not None and len(words) > 2 * context:
            text = " ".join([*words[:context], "…", *words[-context:]])
        if change == "removed":
            text = f"[-{text}-]"
        elif change == "added":
            text = f"{{+{text}+}}"
        diff.append(text + " ", style=_STYLES[change])
    diff.rstrip()
    return diff
