"""Notices to the user while something runs, as records of the logger `publius`.

Library code never prints. The command line attaches a handler that colours these records and writes them to
standard error (`publius/console.py`). A program that imports publius sees them if it configures logging.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PROGRESS = "progress"
"""Attribute of records that are lines of progress."""
LOGGER = logging.getLogger("publius")
LOGGER.addHandler(logging.NullHandler())  # without a handler, logging prints warnings to standard error


def note(message: str, *, plain: bool = False) -> None:
    """Log one line of information; `plain` for one to act on, such as a command, which is not dimmed."""
    LOGGER.info(_encodable(message), extra={"plain": plain})


def warn(message: str) -> None:
    """Log one line that the user should read before relying on the result."""
    LOGGER.warning(_encodable(message))


@contextmanager
def each_once() -> Iterator[Callable[[], None]]:
    """Log what runs one after another have in common once: the first of them says it.

    Yields a function to call at the start of each run. Within a run, lines may repeat, and lines of progress
    always do. At the end, one line has the number of warnings that were not repeated.
    """
    before: set[str] = set()
    now: set[str] = set()
    repeated = 0

    def begin() -> None:
        before.update(now)
        now.clear()

    def is_new(record: logging.LogRecord) -> bool:
        nonlocal repeated
        text = record.getMessage()
        if getattr(record, PROGRESS, False) or text not in before:
            now.add(text)
            return True
        repeated += record.levelno >= logging.WARNING
        return False

    LOGGER.addFilter(is_new)
    try:
        yield begin
    finally:
        LOGGER.removeFilter(is_new)
    if repeated:
        note(f"\n{counted(repeated, 'warning')} of later runs, the same as those above, not repeated")


def _encodable(message: str) -> str:
    """Return a message without unpaired surrogates, which a handler that writes UTF-8 cannot encode."""
    return message.encode("utf-8", errors="ignore").decode("utf-8")


def counted(number: int, what: str) -> str:
    """Return a number with its noun, such as `1 step` or `1,200 steps`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
