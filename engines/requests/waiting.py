"""Requests that an engine has not answered yet, and the limit on how long they may wait.

A request is overdue when the engine has made no progress for `limit_s` seconds: it answered no request and,
where it reports its steps (`ReportsProgress`), took none. A long queue therefore makes no request overdue, on
however slow a machine, and neither does loading the model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType

from core.errors import FailedRequestError
from engines.protocols import ReportsProgress

_LOOKS = 4
"""Number of times that the engine's progress is looked at within the limit."""
_PAUSE_S = 60.0
"""Seconds between two looks after which this process itself was stopped, and not the engine silent."""
_LOOK_S = 5.0
"""Maximum number of seconds between two looks."""


class WaitingRequests:
    """The unanswered requests of one engine.

    Args:
        engine: the engine; its progress counts if it reports it.
        limit_s: seconds without progress after which a request fails; None for no limit.
        clock: returns the time in seconds.
    """

    def __init__(
        self, engine: object, limit_s: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine if isinstance(engine, ReportsProgress) else None
        self._clock = clock
        self._seen: int | None = None
        self._moved_at = clock()
        """Time of the last progress of the engine."""
        self._looked_at = self._moved_at
        self.limit_s = limit_s
        self.requests: set[WaitingRequest] = set()

    def moved(self) -> None:
        """Note that the engine made progress."""
        self._moved_at = self._clock()

    def stuck(self) -> tuple[int, float]:
        """Return the number of unanswered requests, and the seconds since the engine last made progress."""
        if not self.requests:
            return 0, 0.0
        return len(self.requests), max(self.quiet_s(request) for request in tuple(self.requests))

    def quiet_s(self, request: WaitingRequest) -> float:
        """Return the seconds that the engine has made no progress while this request waited."""
        now = self._clock()
        if now - self._looked_at > _PAUSE_S:
            self._moved_at = now
        self._looked_at = now
        if self._engine is not None:
            progress = self._engine.progress
            if progress is None or progress != self._seen:
                self._seen, self._moved_at = progress, now
        return now - max(request.started, self._moved_at)

    def request(self) -> WaitingRequest:
        """Return a context in which the current task waits for the engine's answer to one request."""
        return WaitingRequest(self, self._clock())


class WaitingRequest:
    """A context that ends with FailedRequestError when the request in it is overdue.

    It cancels its own task as `asyncio.timeout` does, which has no deadline that moves with an engine.
    """

    def __init__(self, waiting: WaitingRequests, started: float) -> None:
        self.started = started
        self._waiting = waiting
        self._handle: asyncio.TimerHandle | None = None
        self._overdue = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._waiting.requests.add(self)
        self._look_again()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting.requests.discard(self)
        if self._handle is not None:
            self._handle.cancel()
        if not self._overdue:
            self._waiting.moved()
        elif self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            limit_s = self._waiting.limit_s
            raise FailedRequestError(
                "no answer within the time limit", detail=f"engine.request_timeout_s is {limit_s:g}"
            ) from error

    def _look_again(self) -> None:
        limit_s = self._waiting.limit_s
        if limit_s is not None:
            wait_s = min(limit_s / _LOOKS, _LOOK_S)
            self._handle = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        limit_s = self._waiting.limit_s
        if limit_s is not None and self._waiting.quiet_s(self) >= limit_s:
            self._overdue = True
            self._task.cancel()
        else:
            self._look_again()
