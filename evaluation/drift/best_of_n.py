"""Best-of-n curves: what is gained in gold if the answer with the best proxy score of n is taken.

A proxy is a score that a training optimises, such as a reward model's or a judge's; gold is what it stands
for, such as a machine check. If gold falls while the proxy rises with n, optimising the proxy harder does
harm (Gao, Schulman and Hilton 2023, arXiv 2210.10760, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.statistics.bootstrap import Floats, Interval, paired_intervals


@dataclass(frozen=True)
class BestOfN:
    """Proxy and gold of the best of n samples, averaged over prompts."""

    n: int
    kl: float
    """KL divergence of the best of n from a single sample, in nats: log n - (n - 1) / n."""
    proxy: Interval
    gold: Interval

    def as_json(self) -> dict[str, Any]:
        """Return the point as JSON-able values."""
        return {
            "n": self.n,
            "kl_nats": self.kl,
            "sqrt_kl": math.sqrt(self.kl),
            "proxy": self.proxy._asdict(),
            "gold": self.gold._asdict(),
        }


def best_of_n_kl(n: int) -> float:
    """Return log n - (n - 1) / n, in nats.

    It is the KL divergence of the best of n from one sample if no two samples have the same score, and an
    upper bound otherwise (Stiennon et al. 2020, arXiv 2009.01325, appendix G.3; Beirami et al. 2024, arXiv
    2401.01879).
    """
    return math.log(n) - (n - 1) / n


def expected_of_best(proxy: Sequence[float], gold: Sequence[float], n: int) -> tuple[float, float]:
    """Return the expected proxy and gold of the sample with the best proxy among n.

    Averaged over all choices of n of the N samples, which is unbiased (Nakano et al. 2021, arXiv 2112.09332,
    appendix I): with the samples sorted by proxy, the i-th is the best of C(i - 1, n - 1) of the C(N, n)
    choices. Samples with the same proxy share their weight.

    Args:
        proxy: scores of N samples of one prompt.
        gold: their gold scores, N.
        n: from 1 to N.

    Raises:
        ValueError: n is not in that range, or the lengths differ.
    """
    count = len(proxy)
    if len(gold) != count or not 1 <= n <= count:
        raise ValueError(f"n is {n}, with {count} proxy and {len(gold)} gold scores")
    scores, golds = np.asarray(proxy, dtype=np.float64), np.asarray(gold, dtype=np.float64)
    order = np.argsort(scores, kind="stable")
    choices = math.comb(count, n)
    weights = np.array([math.comb(place, n - 1) / choices for place in range(count)])
    scores, golds = scores[order], golds[order]
    return float(weights @ scores), float(_shared_by_ties(weights, scores) @ golds)


def best_of_n_curve(
    proxies: Sequence[Sequence[float]], golds: Sequence[Sequence[float]], seed: int = 0
) -> tuple[BestOfN, ...]:
    """Return the points of the curve for n = 1, 2, 4, ... and the largest n that all prompts allow.

    Intervals are over prompts and paired: all points are resampled together.

    Args:
        proxies: scores of the samples of each prompt; prompts may have different numbers of samples.
        golds: gold scores of the same samples.
        seed: seed of the bootstrap.
    """
    most = min((len(proxy) for proxy in proxies), default=0)
    sizes = sorted(
        {2**power for power in range(most.bit_length()) if 2**power <= most} | ({most} if most else set())
    )
    if not sizes:
        return ()
    means = [
        [expected_of_best(proxy, gold, n) for proxy, gold in zip(proxies, golds, strict=True)] for n in sizes
    ]
    rows = [[pair[which] for pair in of_n] for of_n in means for which in (0, 1)]
    intervals = paired_intervals(rows, seed)
    return tuple(
        BestOfN(n, best_of_n_kl(n), intervals[2 * place], intervals[2 * place + 1])
        for place, n in enumerate(sizes)
    )


def _shared_by_ties(weights: Floats, scores: Floats) -> Floats:
    """Return the weights averaged over samples with the same score."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return np.asarray((np.bincount(places, weights) / counts)[places])
