"""Learning rate schedules: a linear warm-up, then constant, linear or cosine decay.

After the warm-up they are those of transformers. During it, transformers' rate at step i of w is i / w, so
the first optimizer step has rate 0 and teaches nothing. Here it is (i + 1) / (w + 1).
"""

from __future__ import annotations

import math

from training.config import Schedule


def learning_rate_factor(update: int, total: int, warm: float, schedule: Schedule) -> float:
    """Return the learning rate at an optimizer step, as a share of its peak; never 0.

    Args:
        update: the step, counted from 0, below `total`.
        total: number of optimizer steps.
        warm: number of steps of the warm-up.
        schedule: the decay after the warm-up.
    """
    if update < warm:
        return (update + 1) / (warm + 1)
    done = min(1.0, (update - warm) / max(1.0, total - warm))
    if schedule == "constant":
        return 1.0
    return 1 - done if schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
