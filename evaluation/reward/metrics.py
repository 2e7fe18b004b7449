"""A reward model's scores against labels: accuracy, cross-entropy and Brier score, with intervals.

Scores are read as a Bradley-Terry model (Christiano et al. 2017, arXiv 1706.03741, equation 1): with the
margin m = r(chosen) - r(rejected), the model predicts that `chosen` is better with probability
q = sigmoid(m). The label p is also a probability and may be below one half. Swapping the two answers (m to
-m, p to 1 - p) changes no metric.

Pairs are weighted: a mean is sum(w x) / sum(w). Pairs of one prompt are alike, so intervals are over prompts:
those of shares by the design effect (`core/statistics/clusters.py`), those of other means by a bootstrap over
prompts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from core.errors import DataError
from core.records import Metric
from core.statistics.bootstrap import Floats, paired_intervals, wilson
from core.statistics.clusters import cluster_places, effective_trials

EVEN = 0.5
"""Label of a tie, and accuracy of random guessing."""


@dataclass(frozen=True)
class ScoredPair:
    """Two answers to one prompt, with their rewards and the label."""

    id: str
    chosen_reward: float
    rejected_reward: float
    p_chosen: float
    """Label: the probability that `chosen` is the better answer; 0.5 is a tie."""
    chosen_tokens: int
    """Length of the answer without its prompt."""
    rejected_tokens: int
    weight: float = 1.0
    groups: Mapping[str, str] = field(default_factory=dict)
    """Groups of the pair, such as `{"source": "ai"}`; metrics are computed for each value of each key."""
    prompt: str = ""
    """Digest of the prompt, which several pairs may share; if empty, the pair has a prompt of its own."""

    @property
    def cluster(self) -> str:
        """The prompt, by which pairs depend on each other; the pair's id if the prompt is not known."""
        return self.prompt or self.id

    @property
    def margin(self) -> float:
        """Log-odds of the model that `chosen` is better, in nats."""
        return self.chosen_reward - self.rejected_reward

    @property
    def right(self) -> float | None:
        """1 if the better answer scores higher, 0 if the worse one does, one half if both score the same.

        It is None if the label is a tie, because then neither answer is better.
        """
        if self.p_chosen == EVEN:
            return None
        agreement = self.margin if self.p_chosen > EVEN else -self.margin
        return EVEN if agreement == 0 else float(agreement > 0)


class PairColumns(NamedTuple):
    """Pairs as arrays, each (N,): margins in nats, labels, weights."""

    margins: Floats
    labels: Floats
    weights: Floats


def pair_columns(pairs: Sequence[ScoredPair]) -> PairColumns:
    """Return margins, labels and weights of the pairs, in their order."""
    rows = [(pair.margin, pair.p_chosen, pair.weight) for pair in pairs]
    return PairColumns(*np.asarray(rows, dtype=np.float64).reshape(len(rows), 3).T)


def check_pairs(pairs: Iterable[ScoredPair]) -> tuple[ScoredPair, ...]:
    """Validate the pairs and return them.

    Raises:
        DataError: there are no pairs, or a reward, label, weight or length is invalid.
    """
    found = tuple(pairs)
    if not found:
        raise DataError("found no pairs to evaluate the reward model on", accepted="at least one pair")
    for pair in found:
        where = f"pair {pair.id}"
        if not math.isfinite(pair.margin):
            what = f"the rewards are {pair.chosen_reward} and {pair.rejected_reward}"
            raise DataError(what, where=where, accepted="finite numbers")
        if not 0 <= pair.p_chosen <= 1:
            raise DataError(f"p_chosen is {pair.p_chosen}", where=where, accepted="a number from 0 to 1")
        if not 0 <= pair.weight < math.inf:
            raise DataError(f"the weight is {pair.weight}", where=where, accepted="0 or a positive number")
        if min(pair.chosen_tokens, pair.rejected_tokens) < 0:
            what = f"the answers have {pair.chosen_tokens} and {pair.rejected_tokens} tokens"
            raise DataError(what, where=where, accepted="0 or more")
    return found


def sigmoid(margins: Floats) -> Floats:
    """Return 1 / (1 + exp(-m)) of each margin, without overflow."""
    return np.asarray(EVEN * (1 + np.tanh(margins / 2)), dtype=np.float64)


def cross_entropy(margins: Floats, labels: Floats) -> Floats:
    """Return -p log q - (1 - p) log(1 - q) of each pair, (N,), in nats, with q = sigmoid(m).

    Computed as log(1 + exp(-m)) + (1 - p) m, which is finite for every finite margin.
    """
    return np.asarray(np.logaddexp(0.0, -margins) + (1 - labels) * margins, dtype=np.float64)


def label_entropy(labels: Floats) -> Floats:
    """Return the entropy of each label, (N,), in nats: the lowest cross-entropy that a model can reach."""
    both = np.stack([labels, 1 - labels])
    return np.asarray(-(both * np.log(np.where(both > 0, both, 1.0))).sum(axis=0), dtype=np.float64)


def excess_entropy(margins: Floats, labels: Floats) -> Floats:
    """Return KL(p || q) of each pair, (N,), in nats: the cross-entropy minus the label's entropy."""
    # Rounding can give a value slightly below zero where model and label agree.
    return np.maximum(cross_entropy(margins, labels) - label_entropy(labels), 0.0)


def brier(margins: Floats, labels: Floats) -> Floats:
    """Return (q - p)^2 of each pair, (N,): half of the sum over both answers (Brier 1950)."""
    return np.square(sigmoid(margins) - labels)


def accuracy(name: str, pairs: Sequence[ScoredPair], weights: Sequence[float] | None = None) -> Metric | None:
    """Return the share of pairs whose better answer scores higher, with interval; None if all are ties.

    Args:
        name: name of the metric.
        pairs: scored pairs; ties are excluded, also from `n`.
        weights: weights to use instead of the pairs' own.
    """
    given = [pair.weight for pair in pairs] if weights is None else weights
    decided = [(pair, w) for pair, w in zip(pairs, given, strict=True) if pair.right is not None]
    return weighted_share(
        name,
        [pair.right or 0.0 for pair, _ in decided],
        [weight for _, weight in decided],
        [pair.cluster for pair, _ in decided],
    )


def weighted_share(
    name: str, values: Sequence[float], weights: Sequence[float], clusters: Sequence[str] | None = None
) -> Metric | None:
    """Return the weighted mean of values in [0, 1] with its 95 % Wilson interval; None if all weights are 0.

    Unlike a bootstrap interval, the interval of E. B. Wilson (JASA 1927) has a positive width even if all
    values are equal: 8 correct of 8 is not certainty. The number of trials is the effective number of
    independent ones, given the weights and the clusters. Values of one half make the interval slightly too
    wide.

    Args:
        name: name of the metric.
        values: values in [0, 1].
        weights: a weight for each value.
        clusters: the prompt of each value; if not given, each value has its own.
    """
    total = math.fsum(weights)
    if not total:
        return None
    mean = math.fsum(v * w for v, w in zip(values, weights, strict=True)) / total
    trials = effective_trials(
        np.asarray(values, dtype=np.float64),
        np.asarray(weights, dtype=np.float64),
        range(len(values)) if clusters is None else clusters,
    )
    _, low, high = wilson(mean, trials)
    return Metric(name=name, value=mean, low=low, high=high, n=len(values), unit="share")


def mean_metrics(pairs: Sequence[ScoredPair], seed: int) -> tuple[Metric, Metric, Metric]:
    """Return cross-entropy, excess over the labels' entropy (both in nats) and Brier score.

    Their intervals are bootstrap intervals over prompts.

    Args:
        pairs: scored pairs, at least one with a positive weight.
        seed: seed of the bootstrap; the three metrics use the same resamples.
    """
    margins, labels, weights = pair_columns(pairs)
    measures = {
        "reward.nll": ("nats", cross_entropy(margins, labels)),
        "reward.excess_nll": ("nats", excess_entropy(margins, labels)),
        "reward.brier": ("", brier(margins, labels)),
    }
    clusters = [pair.cluster for pair in pairs]
    rows = [_linear(row, weights, clusters).tolist() for _, row in measures.values()]
    intervals = paired_intervals(rows, seed)
    nll, excess, score = (
        Metric(
            name=name,
            value=value,
            # A weighted mean is between the smallest and the largest value; its linear form may not be.
            low=max(low, min(value, float(row.min()))),
            high=min(high, max(value, float(row.max()))),
            n=len(pairs),
            unit=unit,
        )
        for (name, (unit, row)), (value, low, high) in zip(measures.items(), intervals, strict=True)
    )
    return nll, excess, score


def _linear(values: Floats, weights: Floats, clusters: Sequence[str]) -> Floats:
    """Return one value per cluster, (G,), whose mean is the weighted mean and varies alike over resamples.

    This is the linear form of a ratio: M + sum w (x - M) / mean(W), with M the weighted mean, the sum over a
    cluster, and W the weights of clusters (Sarndal, Swensson and Wretman, "Model Assisted Survey Sampling",
    1992, section 5.6). With equal weights and clusters of one value it is x itself.
    """
    mean = np.average(values, weights=weights)
    places, count = cluster_places(clusters)
    sums = np.bincount(places, weights / (weights.sum() / count) * (values - mean), minlength=count)
    return np.asarray(mean + sums, dtype=np.float64)
