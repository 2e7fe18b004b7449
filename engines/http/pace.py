"""How many requests may be at a server at once, and how long one of them may take.

The number is raised while answers come and halved when the server is overloaded: additive increase and
multiplicative decrease, as in TCP (Chiu and Jain 1989). It is halved once per window: requests that were sent
before a cut say nothing about the number after it, however many of them fail.

A lost request would wait for minutes until the limit of the run file. An answer that takes ten times as long
as the slowest one so far, to a request of the same purpose, is taken for lost, and the request is sent again.
If its answer is long or the server has become slow instead, the limit of this request doubles with each such
try, whatever other requests meet, until an answer arrives; it then counts as the slowest one.
"""

from __future__ import annotations

from dataclasses import dataclass

_START = 8
"""Requests at once before anything is known about the server."""
_STEP = 0.25
"""Smallest increase by one answer: without it, a limit of 64 would take 2,000 answers to come back."""
_ENOUGH = 20
"""Answers after which something is known."""
_FACTOR = 10.0
_SHORTEST_S = 5.0


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


@dataclass
class _Seen:
    """Answers to the requests of one purpose."""

    count: int = 0
    slowest_s: float = 0.0


class Patience:
    """Time limits by the purpose of requests.

    Args:
        longest_s: the limit of the run file.
        adapts: False to use this limit alone.
    """

    def __init__(self, longest_s: float, *, adapts: bool = True) -> None:
        self._longest_s, self._adapts = longest_s, adapts
        self._seen: dict[str, _Seen] = {}

    def limit_s(self, purpose: str, lost: int = 0) -> float:
        """Return the seconds that an answer may take.

        Args:
            purpose: purpose of the request.
            lost: tries of this request that were taken for lost.
        """
        seen = self._seen.get(purpose)
        if not self._adapts or seen is None or seen.count < _ENOUGH:
            return self._longest_s
        return min(self._longest_s, 2.0 ** min(lost, 32) * max(_SHORTEST_S, _FACTOR * seen.slowest_s))

    def answered(self, purpose: str, seconds: float) -> bool:
        """Note how long an answer took; return True if a limit is known from now on."""
        seen = self._seen.setdefault(purpose, _Seen())
        seen.count, seen.slowest_s = seen.count + 1, max(seen.slowest_s, seconds)
        return self._adapts and seen.count == _ENOUGH
