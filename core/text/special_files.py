"""Refusal of devices, named pipes and sockets: reading one can block for ever or never end."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from core.errors import ConfigError

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def require_regular(path: Path) -> None:
    """Refuse a path that is a device, a named pipe or a socket. It need not exist.

    Raises:
        ConfigError: the path is one of these.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return  # whoever opens the path reports this
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise ConfigError(
                f"this is {name}, not a file",
                where=str(path),
                accepted="a file; write the data to one first (cat ... > FILE)",
            )
