"""Ranking of all variants by a judge's comparisons (Bradley and Terry, Biometrika 39, 1952).

With strengths s, a variant i is preferred to j with the probability sigmoid(s_i - s_j). Strengths are those
of the largest likelihood, with `base` at zero; a judge's probability counts as a part of a win. One tie is
added for each pair of variants that was compared: a variant that always wins then has a finite strength.

Comparisons of one prompt depend on each other. Errors are those of the estimating equations with the prompts
as clusters (Liang and Zeger, Biometrika 73, 1986), H^-1 (G / (G - 1) sum_g u_g u_g') H^-1, where H is the
information and u_g the score of prompt g; intervals use Student's t with G - 1 degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from core.statistics.bootstrap import LEVEL, Floats
from core.statistics.clusters import cluster_places
from core.statistics.intervals import student_quantile
from evaluation.config import BASE
from evaluation.metrics import variant_rank
from evaluation.win_rate import Win

_STEPS, _TOLERANCE = 100, 1e-10


@dataclass(frozen=True)
class RankedVariant:
    """A variant's strength over `base`, and its place among all variants."""

    variant: str
    strength: float
    """Log-odds that its answer is preferred to that of `base`, in nats."""
    low: float
    high: float
    """The 95 % interval of the strength; both 0 for `base`."""
    best_rank: int
    """One more than the number of variants that are stronger beyond noise."""
    worst_rank: int
    """The number of variants that are not weaker beyond noise, itself included. The comparisons of all pairs
    are corrected together (Bonferroni)."""

    def as_json(self) -> dict[str, Any]:
        """Return the values as JSON-able values."""
        return asdict(self)


def ranked_variants(wins: Sequence[Win]) -> tuple[RankedVariant, ...]:
    """Return the variants from the strongest to the weakest; none if fewer than two prompts were judged.

    Args:
        wins: comparisons of variants with `base`, and possibly with each other; without `p` ignored.
    """
    known = [win for win in wins if win.p is not None]
    variants = sorted({name for win in known for name in (win.variant, win.other)} | {BASE}, key=variant_rank)
    prompts = [win.comparison.prompt.id for win in known]
    if len(set(prompts)) < 2:
        return ()
    column = {name: place for place, name in enumerate(variants)}
    pairs = sorted({(win.variant, win.other) for win in known})
    # The added ties are clusters of their own.
    rows = [(win.variant, win.other) for win in known] + pairs
    signs = np.zeros((len(rows), len(variants)))
    for number, (first, second) in enumerate(rows):
        signs[number, column[first]], signs[number, column[second]] = 1.0, -1.0
    outcomes = np.array([win.p for win in known] + [0.5] * len(pairs))
    places, clusters = cluster_places([*prompts, *pairs])
    strengths, covariance = _fitted(signs[:, 1:], outcomes, places, clusters)
    return _ranked(variants, strengths, covariance, len(set(prompts)))


def _fitted(signs: Floats, outcomes: Floats, places: Any, clusters: int) -> tuple[Floats, Floats]:
    """Return all strengths, (V,), and their covariance, (V, V), with zeros for `base`.

    Args:
        signs: 1 for the first variant of each comparison and -1 for the second, (N, V - 1), without `base`.
        outcomes: probability that the first one is better, (N,).
        places: cluster of each comparison, (N,).
        clusters: number of clusters.
    """
    count = signs.shape[1]
    strengths = np.zeros(count)
    for _ in range(_STEPS):
        expected = 1 / (1 + np.exp(-signs @ strengths))
        information = signs.T @ (signs * (expected * (1 - expected))[:, None])
        step = np.linalg.solve(information, signs.T @ (outcomes - expected))
        # A long step from a flat start could leave the range in which the curvature is known.
        strengths = strengths + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < _TOLERANCE:
            break
    scores = np.zeros((clusters, count))
    np.add.at(scores, places, signs * (outcomes - expected)[:, None])
    inverse = np.linalg.inv(information)
    covariance = clusters / (clusters - 1) * inverse @ (scores.T @ scores) @ inverse
    return np.pad(strengths, (1, 0)), np.pad(covariance, ((1, 0), (1, 0)))


def _ranked(
    variants: Sequence[str], strengths: Floats, covariance: Floats, prompts: int
) -> tuple[RankedVariant, ...]:
    number = len(variants)
    single = student_quantile(prompts - 1, LEVEL)
    comparisons = max(1, number * (number - 1) // 2)
    together = student_quantile(prompts - 1, 1 - (1 - LEVEL) / comparisons)
    stronger, weaker = np.zeros(number, dtype=int), np.zeros(number, dtype=int)
    for i, j in combinations(range(number), 2):
        gap = strengths[i] - strengths[j]
        error = np.sqrt(max(0.0, covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]))
        if abs(gap) > together * error:
            above, below = (i, j) if gap > 0 else (j, i)
            stronger[below] += 1
            weaker[above] += 1
    half = single * np.sqrt(np.diag(covariance))
    found = [
        RankedVariant(
            name,
            float(strengths[place]),
            float(strengths[place] - half[place]),
            float(strengths[place] + half[place]),
            int(stronger[place]) + 1,
            number - int(weaker[place]),
        )
        for place, name in enumerate(variants)
    ]
    return tuple(sorted(found, key=lambda one: -one.strength))
