"""Notices to the user while something runs, as records of the logger `publius`.

Library code never prints. The command line attaches a handler that colours these records and writes them to
standard error (`publius/console.py`). A program that imports publius sees them if it configures logging.
"""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("publius")
LOGGER.addHandler(logging.NullHandler())  # without a handler, logging prints warnings to standard error


def note(message: str) -> None:
    """Log one line of information."""
    LOGGER.info(_encodable(message))


def warn(message: str) -> None:
    """Log one line that the user should read before relying on the result."""
    LOGGER.warning(_encodable(message))


def _encodable(message: str) -> str:
    """Return a message without unpaired surrogates, which a handler that writes UTF-8 cannot encode."""
    return message.encode("utf-8", errors="ignore").decode("utf-8")


def counted(number: int, what: str) -> str:
    """Return a number with its noun, such as `1 step` or `1,200 steps`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
