"""The time allowed for a run: what may be begun before it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Deadline:
    """A number of seconds from a start, of which a reserve at the end is kept for the last steps.

    Nothing is stopped by it. A step that can be omitted asks before it begins whether it would end in time.
    """

    allowed_s: float
    """Seconds allowed from `started_s`; may be infinite."""
    reserve_s: float = 0.0
    """Seconds at the end that are for the last steps, which always run."""
    round_s: float = 0.0
    """Expected seconds of one round, the unit of work that can be omitted."""
    started_s: float = field(default_factory=time.monotonic)
    """Start by the clock."""
    clock: Callable[[], float] = time.monotonic

    @property
    def left_s(self) -> float:
        """Seconds until the allowed time ends; negative afterwards."""
        return self.started_s + self.allowed_s - self.clock()

    @property
    def spare_s(self) -> float:
        """Seconds left before the reserve begins; negative within it."""
        return self.left_s - self.reserve_s

    def allows_round(self, last_s: float = 0.0) -> bool:
        """Return True if one more round ends before the reserve begins.

        Args:
            last_s: seconds that the last round took; the longer of this and the expected time counts.
        """
        return self.spare_s >= max(self.round_s, last_s)

    def shortfall(self, what: str) -> str:
        """Return a message about a step that is skipped for lack of time."""
        return (
            f"{what} is skipped: {max(self.left_s, 0):.0f} of {self.allowed_s:.0f} s are left, and "
            f"{self.reserve_s:.0f} s of them are for the choice and the evaluation (time.minutes)"
        )
