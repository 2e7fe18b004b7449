"""What the logged figures of a training say: held-out losses, the best step, and whether to go on.

A history is what transformers keeps in `trainer_state.json`: a mapping for each time figures were logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from training.config import OptimConfig

CHOSEN_RATIO = "logratios/chosen_per_token"
"""By how much chosen answers became more likely than under the reference, in nats per token."""
UNSTEADY = frozenset(
    {
        "num_tokens",
        "total_flos",
        "train_runtime",
        "train_samples_per_second",
        "train_steps_per_second",
        "eval_runtime",
        "eval_samples_per_second",
        "eval_steps_per_second",
        "eval_num_tokens",
    }
)
"""What differs between two runs of one training, or counts otherwise in one that was resumed."""
_FALL_STEPS = 10


class Course(Protocol):
    """What a history says of how a training goes on."""

    def best(self, history: Sequence[dict[str, Any]]) -> int | None:
        """Return the step whose weights are the best so far, where these are kept; None keeps the last."""
        ...

    def is_over(self, history: Sequence[dict[str, Any]]) -> bool:
        """Return whether training ends here."""
        ...


class ByHeldOutLoss:
    """How a training on examples goes on.

    Args:
        optim: which weights are kept, and how much patience there is.
    """

    def __init__(self, optim: OptimConfig) -> None:
        self._optim = optim

    def best(self, history: Sequence[dict[str, Any]]) -> int | None:
        """Return the step with the lowest held-out loss where that is kept."""
        return best_step(held_out_losses(history)) if self._optim.keep == "best" else None

    def is_over(self, history: Sequence[dict[str, Any]]) -> bool:
        """Return whether the held-out loss has not fallen for as long as patience lasts."""
        return is_exhausted(held_out_losses(history), self._optim.patience)


def held_out_losses(history: Sequence[dict[str, Any]]) -> list[tuple[int, float]]:
    """Return step and mean loss of each evaluation, in order."""
    return [(int(row["step"]), float(row["eval_loss"])) for row in history if "eval_loss" in row]


def best_step(losses: Sequence[tuple[int, float]]) -> int | None:
    """Return the step with the lowest loss, the first of equals; None before any evaluation.

    Args:
        losses: step and loss of each evaluation; what is to rise, such as gold, counts negated.
    """
    return min(losses, key=lambda entry: (entry[1], entry[0]))[0] if losses else None


def is_exhausted(losses: Sequence[tuple[int, float]], patience: int | None) -> bool:
    """Return whether the last `patience` evaluations all brought nothing lower; None is endless patience.

    Args:
        losses: step and loss of each evaluation, in order, as in `best_step`.
        patience: how many evaluations may bring nothing.
    """
    if patience is None or len(losses) <= patience:
        return False
    before, after = losses[:-patience], losses[-patience:]
    return min(loss for _, loss in after) >= min(loss for _, loss in before)


def chosen_fall(history: Sequence[dict[str, Any]], limit: float) -> tuple[int, float] | None:
    """Return the step at which chosen answers had become too unlikely, and by how much, or None.

    DPO raises the difference of two log-probabilities and may lower both: the policy then moves to answers
    that no pair holds (Pal et al. 2024, arXiv 2402.13228; Razin et al. 2024, arXiv 2410.08847).

    Args:
        history: logged figures.
        limit: nats per token below the reference, on the mean of 10 logged steps.
    """
    ratios = [(int(row["step"]), float(row[CHOSEN_RATIO])) for row in history if CHOSEN_RATIO in row]
    for end in range(_FALL_STEPS, len(ratios) + 1):
        mean = sum(value for _, value in ratios[end - _FALL_STEPS : end]) / _FALL_STEPS
        if mean < -limit:
            return ratios[end - 1][0], -mean
    return None
