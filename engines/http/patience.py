"""How long one answer may take: less than the run file's limit, once it is known how long answers take.

A lost request would wait for minutes until the limit of the run file. An answer that takes ten times as long
as the slowest one so far, to a request of the same purpose, is taken for lost, and the request is sent again.
If the server has become slow instead, the limit doubles with each such answer until one arrives in time.
"""

from __future__ import annotations

from dataclasses import dataclass

_ENOUGH = 20
"""Answers after which something is known."""
_FACTOR = 10.0
_SHORTEST_S = 5.0


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
        self._stretch = 1.0

    def limit_s(self, purpose: str) -> float:
        """Return the seconds that an answer may take."""
        seen = self._seen.get(purpose)
        if not self._adapts or seen is None or seen.count < _ENOUGH:
            return self._longest_s
        return min(self._longest_s, self._stretch * max(_SHORTEST_S, _FACTOR * seen.slowest_s))

    def answered(self, purpose: str, seconds: float) -> None:
        """Note how long an answer took."""
        seen = self._seen.setdefault(purpose, _Seen())
        seen.count, seen.slowest_s = seen.count + 1, max(seen.slowest_s, seconds)
        self._stretch = 1.0

    def timed_out(self) -> None:
        """Note that an answer did not arrive within the limit."""
        self._stretch *= 2
