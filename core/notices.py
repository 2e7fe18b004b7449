"""Notices: what the user should know while something runs, as records of the logger `publius`.

Library code never prints. The command line attaches a handler that colours these records and writes them to
standard error (`publius/console.py`); a program that imports publius sees them by configuring logging.
"""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("publius")
LOGGER.addHandler(logging.NullHandler())  # without a handler, logging would print warnings by itself


def note(message: str) -> None:
    """Log a line about what happens."""
    LOGGER.info(_encodable(message))


def warn(message: str) -> None:
    """Log a line about what the user should know before relying on the result."""
    LOGGER.warning(_encodable(message))


def _encodable(message: str) -> str:
    """Return a message without halves of characters, at which a handler that writes UTF-8 would fail."""
    return message.encode("utf-8", errors="ignore").decode("utf-8")


def counted(number: int, what: str) -> str:
    """Return a number with its noun, as in `1 step` and `1,200 steps`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
