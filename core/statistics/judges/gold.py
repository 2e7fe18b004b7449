"""A judge's log-odds beside gold labels, and the losses between them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.statistics.bootstrap import Floats

GOLD_TIE = 0.5
"""Gold label of a tie."""


@dataclass(frozen=True)
class GoldLogits:
    """A judge's log-odds beside gold labels, one of each for N comparisons or answers."""

    logits: Floats
    """The judge's log-odds in nats, (N,)."""
    gold: Floats
    """Gold probabilities of what the log-odds are about, (N,), in [0, 1]; one half is a tie."""
    lengths: Floats | None = None
    """Log of the first answer's length over the second's, (N,); None if unknown."""
    slots: Floats | None = None
    """+1 if the first answer was shown first, -1 if second, 0 if both orders were averaged, (N,)."""
    principles: Sequence[str] | None = None
    """The principle of each label, N."""
    clusters: Sequence[Hashable] | None = None
    """The prompt of each label, N; labels of one prompt are in the same fold."""

    def __post_init__(self) -> None:
        """Check the columns.

        Raises:
            DataError: there are no labels, a column has another length, or a value is invalid.
        """
        count = len(self.logits)
        named = {name: value for name, value in vars(self).items() if value is not None}
        wrong = [f"{len(value)} {name}" for name, value in named.items() if len(value) != count]
        if wrong or not count:
            raise DataError(
                f"found {count} logits, {', '.join(wrong) or 'no gold labels'}",
                accepted="at least one gold label, and one value of each column for each",
            )
        numbers = [v for v in (self.logits, self.lengths, self.slots) if v is not None]
        if not all(np.isfinite(v).all() for v in numbers):
            raise DataError("a log-odds, length ratio or slot is not finite", accepted="finite numbers")
        if not ((self.gold >= 0) & (self.gold <= 1)).all():
            raise DataError("a gold label is outside [0, 1]", accepted="probabilities")

    def __len__(self) -> int:
        return len(self.logits)

    def subset(self, chosen: NDArray[np.bool_]) -> GoldLogits:
        """Return the labels for which `chosen`, (N,), is true."""
        places = np.flatnonzero(chosen)
        return GoldLogits(
            self.logits[places],
            self.gold[places],
            None if self.lengths is None else self.lengths[places],
            None if self.slots is None else self.slots[places],
            None if self.principles is None else [self.principles[int(place)] for place in places],
            None if self.clusters is None else [self.clusters[int(place)] for place in places],
        )


def chance_of(logits: Floats) -> Floats:
    """Return the probability with each log-odds, (N,), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(logits / 2)), dtype=np.float64)


def log_loss(logits: Floats, gold: Floats) -> Floats:
    """Return the cross-entropy of each probability to its gold label, (N,), in nats."""
    return np.asarray(np.logaddexp(0.0, -logits) + (1 - gold) * logits, dtype=np.float64)
