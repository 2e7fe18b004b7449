"""How many requests may be at a server at once: raised while answers come, halved when it is overloaded.

Additive increase and multiplicative decrease, as in TCP (Chiu and Jain 1989). The limit is halved once per
window: requests that were sent before a cut say nothing about the limit after it, however many of them fail.
"""

from __future__ import annotations

_START = 8
"""Requests at once before anything is known about the server."""
_STEP = 0.25
"""Smallest increase by one answer: without it, a limit of 64 would take 2,000 answers to come back."""


class Pace:
    """The number of requests that may be in flight.

    Args:
        maximum: the most that there may ever be.
        start: the number to start with.
    """

    def __init__(self, maximum: int, start: int = _START) -> None:
        self._maximum = float(maximum)
        self._limit = float(min(start, maximum))
        self._was_cut = False
        self._window = 0

    @property
    def limit(self) -> int:
        """Requests that may be in flight now, at least 1."""
        return int(self._limit)

    @property
    def window(self) -> int:
        """Number of the current window; take it when a request is sent."""
        return self._window

    def answered(self) -> None:
        """Raise the limit after a usable answer: by 1 until the first cut, then by at most 1 per round."""
        step = max(_STEP, 1 / self._limit) if self._was_cut else 1.0
        self._limit = min(self._maximum, self._limit + step)

    def overloaded(self, window: int) -> None:
        """Halve the limit because the server refused or timed out a request that was sent in a window."""
        if window == self._window:
            self._was_cut, self._window = True, self._window + 1
            self._limit = max(1.0, self._limit / 2)
