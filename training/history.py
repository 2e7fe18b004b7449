"""Decisions from the logged metrics of a training job: held-out losses, the best step, early stopping.

A history is the list that transformers saves in `trainer_state.json`: one mapping per logged step or
evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from training.config import OptimConfig

CHOSEN_RATIO = "logratios/chosen_per_token"
"""Metric name: log-ratio of chosen answers to the reference, in nats per token."""
NONDETERMINISTIC = frozenset(
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
"""Metrics that differ between two runs of the same training, or after a resume."""
_FALL_STEPS = 10


class Course(Protocol):
    """Rule that decides from a history which weights to keep and when to stop."""

    def best(self, history: Sequence[dict[str, Any]]) -> int | None:
        """Return the step with the best weights so far, if these are to be kept; None keeps the last."""
        ...

    def is_over(self, history: Sequence[dict[str, Any]]) -> bool:
        """Return True if training should stop."""
        ...


class ByHeldOutLoss:
    """Rule that chooses weights and stops by the held-out loss.

    Args:
        optim: settings with `keep` and `patience`.
    """

    def __init__(self, optim: OptimConfig) -> None:
        self._optim = optim

    def best(self, history: Sequence[dict[str, Any]]) -> int | None:
        """Return the step with the lowest held-out loss if `keep` is `best`, else None."""
        return best_step(held_out_losses(history)) if self._optim.keep == "best" else None

    def is_over(self, history: Sequence[dict[str, Any]]) -> bool:
        """Return True if the held-out loss has not fallen in the last `patience` evaluations."""
        return is_exhausted(held_out_losses(history), self._optim.patience)


def held_out_losses(history: Sequence[dict[str, Any]]) -> list[tuple[int, float]]:
    """Return step and mean loss of each evaluation, in order."""
    return [(int(row["step"]), float(row["eval_loss"])) for row in history if "eval_loss" in row]


def best_step(losses: Sequence[tuple[int, float]]) -> int | None:
    """Return the step with the lowest loss, the first of equals; None before any evaluation.

    Args:
        losses: step and loss of each evaluation. Metrics that should rise are negated.
    """
    return min(losses, key=lambda entry: (entry[1], entry[0]))[0] if losses else None


def is_exhausted(losses: Sequence[tuple[int, float]], patience: int | None) -> bool:
    """Return True if none of the last `patience` evaluations had a lower loss; None never stops.

    Args:
        losses: step and loss of each evaluation, in order, as in `best_step`.
        patience: number of evaluations without a lower loss.
    """
    if patience is None or len(losses) <= patience:
        return False
    before, after = losses[:-patience], losses[-patience:]
    return min(loss for _, loss in after) >= min(loss for _, loss in before)


def chosen_fall(history: Sequence[dict[str, Any]], limit: float) -> tuple[int, float] | None:
    """Return the first step with chosen answers that are too unlikely, and by how much, or None.

    DPO raises the difference of two log-probabilities and may lower both. The policy then moves to answers
    that are in no pair (Pal et al. 2024, arXiv 2402.13228; Razin et al. 2024, arXiv 2410.08847).

    Args:
        history: logged metrics.
        limit: nats per token below the reference, on the mean of 10 logged steps.
    """
    ratios = [(int(row["step"]), float(row[CHOSEN_RATIO])) for row in history if CHOSEN_RATIO in row]
    for end in range(_FALL_STEPS, len(ratios) + 1):
        # The ratio of a single step depends on its few pairs.
        mean = sum(value for _, value in ratios[end - _FALL_STEPS : end]) / _FALL_STEPS
        if mean < -limit:
            return ratios[end - 1][0], -mean
    return None
