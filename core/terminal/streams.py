"""Standard streams that never stop the work: a full disk or a closed terminal costs only the text.

`make_steady` replaces standard output and standard error with streams whose writes do not fail. What could
not be written is dropped, and the first reason is kept for the end of the command (`lost`).
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any, Literal, TextIO

_NO_READER = (errno.EPIPE, errno.EIO, errno.ENXIO, errno.ESHUTDOWN)
"""A closed pipe, or a terminal that was closed: nobody is there to read the text."""


class _Steady(io.RawIOBase):
    """A file descriptor to write to, whose writes always succeed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.failure: OSError | None = None
        """The first error; nothing is written after it."""

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return True if this is a terminal that can still be written to."""
        return self.failure is None and os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        """Write all of the data, or drop it after an error."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest and self.failure is None:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # a descriptor that another program set to non-blocking
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.failure = error
        return size


_Name = Literal["stdout", "stderr"]
_steady: dict[_Name, _Steady] = {}


def make_steady() -> None:
    """Replace `sys.stdout` and `sys.stderr`, unless the program did so itself or in an earlier call.

    A closed descriptor is opened on the null device first: the next file that is opened would get its number,
    and all that is printed.
    """
    closed = _reserve_closed()
    for name in ("stdout", "stderr"):
        _make_steady("stdout" if name == "stdout" else "stderr", closed)


def lost() -> OSError | None:
    """Return the error of standard output by which text was lost; None without one, or if nobody read it."""
    failure = _steady["stdout"].failure if "stdout" in _steady else None
    return None if failure is None or failure.errno in _NO_READER else failure


def _make_steady(name: _Name, closed: set[int]) -> None:
    stream: TextIO | None = getattr(sys, name)
    if name in _steady or (stream is not None and stream is not getattr(sys, f"__{name}__")):
        return
    number = 1 if name == "stdout" else 2
    raw = _Steady(number)
    if number in closed:
        raw.failure = OSError(errno.EPIPE, "closed")
    elif stream is not None:
        stream.flush()
    encoding = getattr(stream, "encoding", None) or "utf-8"
    errors = getattr(stream, "errors", None) or "strict"
    steady = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding,
        errors="replace" if errors == "strict" else errors,
        line_buffering=name == "stderr" or raw.isatty(),
        write_through=name == "stderr",
    )
    _steady[name] = raw
    setattr(sys, name, steady)
    setattr(sys, f"__{name}__", steady)


def _reserve_closed() -> set[int]:
    """Open the null device under the numbers of closed standard streams, and return these numbers."""
    closed: set[int] = set()
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest number that is free
        os.set_inheritable(descriptor, True)
        closed.add(descriptor)
    os.close(descriptor)
    return closed
