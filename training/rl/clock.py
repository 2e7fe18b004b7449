"""Seconds and tokens of the phases of a training step, for the progress line and the result."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Time spent in each phase. Time in a nested phase does not count for the outer one."""

    seconds: dict[str, float] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the block's time."""
        started, counted = time.monotonic(), sum(self.seconds.values())
        yield
        inner = sum(self.seconds.values()) - counted
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started - inner

    def count(self, name: str, tokens: int) -> None:
        """Count tokens of a phase."""
        self.tokens[name] = self.tokens.get(name, 0) + tokens

    def rates(self) -> str:
        """Return tokens per second of each phase that has tokens."""
        return ", ".join(
            f"{name} {count / max(self.seconds.get(name, 0.0), 1e-9):,.0f} tokens/s"
            for name, count in self.tokens.items()
        )

    def rounded(self) -> dict[str, float]:
        """Return the seconds of each phase to a tenth."""
        return {name: round(seconds, 1) for name, seconds in self.seconds.items()}
