"""How many of its examples a training used: said wherever its result is, since few examples teach little."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.notices import counted
from training.methods import ON_POLICY_METHODS

_FEW = 0.5
"""Share of the examples below which a training is said to have used few of them."""


@dataclass(frozen=True)
class UsedExamples:
    """The examples of a training by what became of them."""

    method: str
    used: int
    held_out: int = 0
    """Number of examples held out for evaluation."""
    excluded: Mapping[str, int] = field(default_factory=dict)
    """Number of excluded examples by reason."""

    @property
    def total(self) -> int:
        """Number of all examples."""
        return self.used + self.held_out + sum(self.excluded.values())

    @property
    def line(self) -> str:
        """The examples in words, such as `1 of 8 pairs`."""
        if self.used + self.held_out == self.total:
            return counted(self.used, self._noun)
        return f"{self.used:,} of {counted(self.total, self._noun)}"

    @property
    def warning(self) -> str | None:
        """What is said where most examples were excluded, with the most frequent reason; None elsewhere."""
        reasons = self.excluded
        if not reasons or self.used + self.held_out >= _FEW * self.total:
            return None
        reason = max(reasons, key=lambda name: reasons[name])
        often = f"{sum(reasons.values()):,} excluded, {reasons[reason]:,} of them because: {reason}"
        return f"learned from only {self.line} ({often})"

    @property
    def _noun(self) -> str:
        if self.method in ("dpo", "reward"):
            return "pair"
        return "prompt" if self.method in ON_POLICY_METHODS else "answer"
