"""Abstention of a judge: the threshold on its confidence that limits the error of its labels.

A label is kept if the absolute value of its log-odds is at least the threshold t; annotators get the others.
Learn then Test (Angelopoulos, Bates, Candes, Jordan and Lei 2021, arXiv 2110.01052) chooses t such that, with
probability 1 - delta over the gold labels, the error among the labels that are kept is at most alpha:

- For each t on a grid, the hypothesis "the error among kept labels exceeds alpha" is rejected if its p-value,
  P(Binomial(kept gold labels, alpha) <= wrong ones), is small. It is exact, whatever the judge.
- The grid has fixed shares of the judge's labels, so gold does not choose it. Fixed sequences of tests start
  at 3/4, 1/2 and 1/4 of the labels and go on to larger shares while they reject; their levels sum to
  delta.
- The threshold that keeps most labels among all rejected ones is used.

The gold labels must be a random sample of the labels that are thresholded, as for `rates`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.errors import DataError
from core.statistics.bootstrap import Floats, Interval, wilson
from core.statistics.judges.gold import GOLD_TIE

CONFIDENCE = 0.95
"""1 - delta, the probability that the error among kept labels is at most alpha."""
_STEP = 0.01
"""Distance of the grid, as a share of the labels."""
_STARTS = ((0.75, 0.6), (0.5, 0.3), (0.25, 0.1))
"""Share of the labels at which each sequence of tests starts, and its part of delta."""


@dataclass(frozen=True, slots=True)
class Abstention:
    """A threshold on the absolute log-odds, with the error of the labels that it keeps."""

    threshold: float
    """Labels with a smaller absolute log-odds are not used, in nats; infinite if no label may be used."""
    max_error: float
    """alpha: the limit of the error among kept labels."""
    confidence: float
    """Probability over the gold labels that the limit holds."""
    abstained: float
    """Share of the judge's labels below the threshold."""
    error: Interval | None
    """Error of kept gold labels with its 95 % interval; None if none is kept."""
    error_of_all: Interval
    """Error of all gold labels."""
    labels: int
    """Number of decided gold labels."""


def risk_controlled(
    logits: Floats,
    gold: Floats,
    max_error: float,
    confidence: float = CONFIDENCE,
    all_logits: Floats | None = None,
) -> Abstention:
    """Return the smallest threshold that keeps the error among kept labels at `max_error` or less.

    Args:
        logits: the judge's log-odds of labels with gold, (n,), in nats.
        gold: gold labels in [0, 1], (n,). Ties are skipped: no label is wrong about them.
        max_error: alpha, in (0, 1).
        confidence: 1 - delta, in (0, 1).
        all_logits: log-odds of all labels, (N,); those with gold if not given. The grid has their quantiles.

    Raises:
        DataError: a limit is not between 0 and 1, the lengths differ, or no gold label is decided.
    """
    _require_shares(max_error, confidence)
    size, wrong = _decided(logits, gold)
    everything = np.abs(size if all_logits is None else np.asarray(all_logits, dtype=np.float64))
    shares = np.round(np.arange(_STEP, 1 + _STEP / 2, _STEP), 10)
    # The largest share is everything: the threshold is 0 and not the smallest confidence found.
    thresholds = np.append(np.quantile(everything, 1 - shares[:-1]), 0.0)
    rejected = np.zeros(len(shares), dtype=bool)
    for start, part in _STARTS:
        for place in range(int(np.searchsorted(shares, start)), len(shares)):
            kept = size >= thresholds[place]
            # Half wrong ones, where the log-odds are 0, count as wrong.
            failed = int(np.ceil(wrong[kept].sum()))
            if _p_value(failed, int(kept.sum()), max_error) > (1 - confidence) * part:
                break
            rejected[place] = True
    threshold = float(thresholds[rejected][-1]) if rejected.any() else math.inf
    return _result(threshold, size, wrong, everything, max_error, confidence)


def kept_error(logits: Floats, gold: Floats, threshold: float) -> Interval | None:
    """Return the error among gold labels with an absolute log-odds of at least the threshold; None without.

    The interval is Wilson's at 95 %. Log-odds of 0 are half wrong, and ties of gold are skipped.
    """
    size, wrong = _decided(logits, gold)
    return _error(wrong[size >= threshold])


def _result(
    threshold: float, size: Floats, wrong: Floats, everything: Floats, max_error: float, confidence: float
) -> Abstention:
    return Abstention(
        threshold=threshold,
        max_error=max_error,
        confidence=confidence,
        abstained=float((everything < threshold).mean()),
        error=_error(wrong[size >= threshold]),
        error_of_all=wilson(float(wrong.mean()), len(wrong)),
        labels=len(wrong),
    )


def _error(wrong: Floats) -> Interval | None:
    return wilson(float(wrong.mean()), len(wrong)) if len(wrong) else None


def _decided(logits: Floats, gold: Floats) -> tuple[Floats, Floats]:
    """Return the absolute log-odds of decided gold labels and how far each is wrong: 0, one half or 1."""
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(gold, dtype=np.float64)
    if len(z) != len(y) or not (y != GOLD_TIE).any():
        raise DataError(
            f"found {len(z)} log-odds and {int((y != GOLD_TIE).sum())} decided gold labels",
            accepted="at least one gold label that is no tie, and one log-odds for each",
        )
    z, y = z[y != GOLD_TIE], y[y != GOLD_TIE]
    return np.abs(z), GOLD_TIE * (1 - np.sign(z) * np.sign(y - GOLD_TIE))


def _p_value(wrong: int, kept: int, max_error: float) -> float:
    """Return P(Binomial(kept, max_error) <= wrong); 1 if no label is kept."""
    from scipy.special import bdtr

    return float(bdtr(wrong, kept, max_error)) if kept else 1.0


def _require_shares(max_error: float, confidence: float) -> None:
    for name, value in (("max_error", max_error), ("confidence", confidence)):
        if not 0 < value < 1:
            raise DataError(f"{name} is {value:g}", accepted="a number between 0 and 1")
