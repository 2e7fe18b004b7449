"""The requests of one event loop to a server: its client, a bounded number in flight, and those that wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

from core.errors import EngineError
from engines.http.breaker import CircuitBreaker
from engines.http.pace import Pace, Patience

_SAVED_S = 0.05
"""Seconds for the tasks of the last answers to store them."""
_LOOK_S = 1.0
"""Seconds after which those that wait look at an open circuit again while a request probes the server."""


class Lane:
    """Places for the requests of one event loop.

    Args:
        opening: opens the HTTP client (`connection.open_client`).
        pace: how many requests may be in flight.
        breaker: whether any may be sent.
    """

    def __init__(
        self, opening: Callable[[], AsyncGenerator[Any, None]], pace: Pace, breaker: CircuitBreaker
    ) -> None:
        self._opening = opening
        self._opened: tuple[Any, AsyncGenerator[Any, None]] | None = None
        self._pace, self._breaker = pace, breaker
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle = asyncio.Event()
        self._ended: EngineError | None = None
        self.limits: dict[asyncio.Timeout, tuple[str, int]] = {}
        """Time limits of the requests in flight, with their purpose and the number of their lost tries."""
        self.in_flight = 0
        """Requests that were sent and have no response yet."""

    @property
    def is_over(self) -> bool:
        """True if the requests were ended and none is left: a new lane may look for the server again."""
        return self._ended is not None and not self.in_flight and not self._waiting

    async def client(self) -> Any:
        """Return the HTTP client. Raises ConfigError if the environment does not allow one."""
        if self._opened is None:
            generator = self._opening()
            self._opened = await anext(generator), generator  # which would be closed if nothing held it
        return self._opened[0]

    async def enter(self) -> tuple[int, bool]:
        """Wait for a place; return the window of the pace, and whether an open circuit waits for the outcome.

        Raises:
            EngineError: if the requests of this event loop were ended.
        """
        loop = asyncio.get_running_loop()
        while self._ended is None and not self._admits():
            place: asyncio.Future[None] = loop.create_future()
            self._waiting.append(place)
            try:
                await asyncio.wait({place}, timeout=self._next_look_s())
            except asyncio.CancelledError:
                if place.done():
                    self._wake()  # another one takes the place
                raise
            finally:
                if not place.done():
                    self._waiting.remove(place)
        if self._ended is not None:
            raise self._ended
        self.in_flight += 1
        self._idle.clear()
        return self._pace.window, self._breaker.sent()

    def leave(self) -> None:
        """Give a place back."""
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()
        self._wake()

    def shorten(self, purpose: str, patience: Patience) -> None:
        """Apply the limit of a purpose, which was not known before, to its requests in flight."""
        now = asyncio.get_running_loop().time()
        for limit, (asked_for, lost) in self.limits.items():
            ends_at = limit.when()
            if asked_for == purpose and ends_at is not None and not limit.expired():
                limit.reschedule(min(ends_at, now + patience.limit_s(purpose, lost)))

    def end(self, error: EngineError) -> None:
        """Let no further request enter; those that wait raise the error."""
        self._ended = error
        self._wake()

    async def drained(self, limit_s: float | None) -> None:
        """Wait until nothing is in flight and its answers are stored, or until a time limit."""
        if self.in_flight:
            waiting = asyncio.ensure_future(self._idle.wait())
            await asyncio.wait({waiting}, timeout=limit_s)
            waiting.cancel()
        await asyncio.sleep(_SAVED_S)

    def _admits(self) -> bool:
        return self._breaker.admits() and self.in_flight < self._pace.limit

    def _next_look_s(self) -> float | None:
        """Return the seconds until one that waits looks again by itself; None if it will be woken.

        An open circuit admits a request at a certain time. The one that probes may be cancelled or given up,
        or may be one of another event loop, so nobody relies on being woken by it.
        """
        if not self._breaker.is_open:
            return None  # all places are taken, and each of them is given back
        return self._breaker.wait_s() or _LOOK_S

    def _wake(self) -> None:
        """Wake as many of those that wait as there are places."""
        free = len(self._waiting) if self._ended else self._pace.limit - self.in_flight
        if self._breaker.is_open and not self._ended:
            free = 0 if self._breaker.is_probing else 1  # it waits until the circuit admits a request
        while free > 0 and self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1
