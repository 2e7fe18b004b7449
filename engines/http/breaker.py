"""The circuit breaker: stop sending to a server that fails on nearly every request, and look again.

    closed     requests are sent
    open       nothing is sent for a while, which doubles each time up to a limit
    half-open  one request is sent; its answer closes the circuit, its failure opens it again

It says once on standard error that it opened, with where and why, and once that it closed. In a storm of
refusals it opens and closes many times; it counts as closed only when `_STEADY` answers came in a row.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from core.notices import note, warn
from engines.http.faults import Cause, TryFailedError

_WINDOW, _MOST_FAILURES = 10, 9
"""The circuit opens when so many of the last tries failed. At 30 % failures that is one chance in 7,000."""
_UNREACHABLE = 3
"""Tries in a row without a connection that open it too."""
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S: dict[Cause, float] = {"fault": 10.0, "overload": 2.0, "unreachable": 5.0}
"""Longest pause. A server that refuses for overload says itself if it wants a longer one."""
_STEADY = 8
"""Answers in a row after which the server counts as well again."""


class CircuitBreaker:
    """Whether requests may be sent to one server.

    Args:
        where: the server's address, for messages.
        clock: returns the time in seconds.
    """

    def __init__(self, where: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._where = where
        self._clock = clock
        self._outcomes: deque[bool] = deque(maxlen=_WINDOW)
        """Whether each of the last tries failed."""
        self._unreached = 0
        self._answers = 0
        self._wait_s = _FIRST_WAIT_S
        self._open_until: float | None = None
        self._probing = False
        self._announced_at: float | None = None
        self._failing_since: float | None = None
        self._unreached_since: float | None = None
        self.opened = 0
        """Number of times that the circuit opened."""

    @property
    def is_open(self) -> bool:
        """True while at most one request is sent at a time, to see whether the server is back."""
        return self._open_until is not None

    @property
    def is_probing(self) -> bool:
        """True while an open circuit waits for the outcome of a request."""
        return self._probing

    def wait_s(self) -> float:
        """Return the seconds until a request may be sent; 0 if one may now."""
        if self._open_until is None:
            return 0.0
        return max(0.0, self._open_until - self._clock())

    def admits(self) -> bool:
        """Return True if a request may be sent now; an open circuit admits one at a time, when it is due."""
        return self._open_until is None or (not self._probing and self.wait_s() == 0.0)

    def sent(self) -> bool:
        """Note that an admitted request is sent; return True if an open circuit waits for its outcome."""
        self._probing = self.is_open
        return self._probing

    def abandoned(self, *, probe: bool) -> None:
        """Note that a request was cancelled; `probe` says that an open circuit waited for it."""
        self._probing = self._probing and not probe

    def answered(self) -> None:
        """Note a usable answer, which closes an open circuit."""
        if self._open_until is not None:
            self._outcomes.clear()
        self._outcomes.append(False)
        self._open_until, self._probing = None, False
        self._failing_since = self._unreached_since = None
        self._answers, self._unreached = self._answers + 1, 0
        if self._answers >= _STEADY:
            self._wait_s = _FIRST_WAIT_S
            if self._announced_at is not None:
                seconds = self._clock() - self._announced_at
                note(f"{self._where}: the server answers again after {seconds:.0f} s; the circuit is closed")
                self._announced_at = None

    def failed(self, error: TryFailedError, *, probe: bool, quiet: bool = False) -> None:
        """Note a failed try, and open the circuit after too many in a row.

        Args:
            error: what was wrong.
            probe: True if an open circuit waited for this try.
            quiet: open the circuit without a message.
        """
        self._outcomes.append(True)
        if error.cause != "unreachable":
            self._unreached, self._unreached_since = 0, None
        elif self._unreached_since is None:
            self._unreached, self._unreached_since = 1, self._clock()
        else:
            self._unreached += 1
        self._answers = 0
        self.abandoned(probe=probe)
        if self._failing_since is None:
            self._failing_since = self._clock()
        failing = sum(self._outcomes) >= _MOST_FAILURES or self._unreached >= _UNREACHABLE
        if probe or (self._open_until is None and failing):
            self._open(error, quiet=quiet)

    def failing_s(self) -> float:
        """Return the seconds without a usable answer, while the circuit is open; 0 if it is closed."""
        if self._open_until is None or self._failing_since is None:
            return 0.0
        return self._clock() - self._failing_since

    def unreached_s(self) -> float:
        """Return the seconds in which every try found no connection; 0 if the last one found one."""
        return 0.0 if self._unreached_since is None else self._clock() - self._unreached_since

    def forget(self) -> None:
        """Close the circuit without a message: another stage begins, perhaps hours later."""
        self._outcomes.clear()
        self._unreached, self._answers, self._wait_s = 0, 0, _FIRST_WAIT_S
        self._open_until, self._probing = None, False
        self._failing_since = self._unreached_since = None

    def _open(self, error: TryFailedError, *, quiet: bool) -> None:
        self.opened += 1
        self._open_until = self._clock() + max(self._wait_s, error.wait_s or 0.0)
        self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S[error.cause])
        if self._announced_at is None and not quiet:
            self._announced_at = self._clock()
            warn(
                f"{self._where}: {sum(self._outcomes)} of the last {len(self._outcomes)} tries failed, the "
                f"last one with {error}; the circuit is open: one request at a time is sent until the server "
                "answers again"
            )
