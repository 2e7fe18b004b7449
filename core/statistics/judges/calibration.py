"""Calibration of a judge on gold labels: temperature, and removal of its liking for length and slot.

A judge says with log-odds l that the first of two answers is better, or that an answer satisfies a principle.
A few gold labels tell what these log-odds are worth. The corrected log-odds are

    z = s l + c x + d o + b

where x is the log of the first answer's length over the second's, o is +1 if the first answer was shown first
and -1 if it was shown second, and s, c, d and b minimise the cross-entropy to gold. s is an inverse
temperature (Guo et al. 2017, arXiv 1706.04599, section 4.2; with b it is Platt scaling). Without b, the
default, all terms change sign when the answers are swapped, so that z does too.

c and d only remove what the judge likes, and no more than all of it: with the judge's own liking m, which is
the slope of l on x or o at equal gold labels, c is between 0 and -s m. It is 0 if gold likes length even more
than the judge, and -s m if gold likes short answers: labels never learn from it to prefer either. Without the
second bound, a judge whose log-odds say nothing would become the rule "the shorter answer" on gold in which
that one is mostly better. If s is 0, no liking of the judge is in z, and c and d are 0 too.

A normal prior of standard deviation 2.5 on the coefficients of standardised terms keeps them finite where few
labels are separated perfectly (the scale of Gelman et al. 2008, Annals of Applied Statistics 2). A principle
with enough gold labels has an inverse temperature of its own, with a log-normal prior around the labeler's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from core.digests import derive_uniform
from core.errors import DataError
from core.statistics.bootstrap import Floats
from core.statistics.clusters import cluster_places
from core.statistics.judges.gold import GoldLogits, chance_of, log_loss

GOLD_PER_PRINCIPLE = 50
"""Number of gold labels from which a principle has a temperature of its own."""
_FOLDS = 10
"""Number of folds of the cross-validation."""
_NO_SLOPE = 1e-3
"""Root mean square of s l, in nats, below which s is 0."""
_PRIOR = 2.5
"""Standard deviation of the prior on the coefficient of a term that is divided by its root mean square."""
_GROUP_SPREAD = math.log(2)
"""Prior standard deviation of a principle's log inverse temperature around the labeler's: a factor of 2."""

_EXACT = {"ftol": 1e-13, "gtol": 1e-9}
"""The default tolerances end a fit early where a bound is near: its steps are then short."""
_Bounds = tuple[float | None, float | None]


@dataclass(frozen=True)
class LogitCorrection:
    """Coefficients of the corrected log-odds."""

    scale: float = 1.0
    """s, the inverse temperature; 0 if the judge's log-odds say nothing about gold."""
    length: float = 0.0
    """c, in nats per unit of the log length ratio."""
    slot: float = 0.0
    """d, in nats."""
    bias: float = 0.0
    """b, in nats; 0 for comparisons."""
    scales: Mapping[str, float] = field(default_factory=dict)
    """s by principle, for principles with enough gold labels."""

    @property
    def temperature(self) -> float:
        """1 / s; infinite if s is 0."""
        return 1 / self.scale if self.scale else math.inf

    def apply(
        self,
        logits: Floats,
        lengths: Floats | None = None,
        slots: Floats | None = None,
        principles: Sequence[str] | None = None,
    ) -> Floats:
        """Return the corrected log-odds, (N,); a column that is not given counts as zero.

        Args:
            logits: the judge's log-odds in nats, (N,).
            lengths: log length ratios, (N,).
            slots: +1, -1 or 0, (N,).
            principles: the principle of each label, N.
        """
        scales: Floats | float = self.scale
        if principles is not None:
            scales = np.asarray([self.scales.get(principle, self.scale) for principle in principles])
        corrected = scales * logits + self.bias
        if lengths is not None:
            corrected = corrected + self.length * lengths
        if slots is not None:
            corrected = corrected + self.slot * slots
        return np.asarray(corrected, dtype=np.float64)

    def applied_to(self, labels: GoldLogits) -> Floats:
        """Return the corrected log-odds of gold labels, (N,)."""
        return self.apply(labels.logits, labels.lengths, labels.slots, labels.principles)


def fit_logits(labels: GoldLogits, *, bias: bool = False) -> LogitCorrection:
    """Return the correction that minimises the penalised cross-entropy to gold.

    Args:
        labels: log-odds with gold labels.
        bias: fit b too, for questions about one answer, whose yes and no are not symmetric.
    """
    from scipy.optimize import minimize

    given = (labels.lengths, labels.slots)
    likings = [np.zeros_like(labels.logits) if column is None else column for column in given]
    terms = np.stack([labels.logits, *likings, np.full_like(labels.logits, float(bias))], axis=1)
    sizes = np.sqrt(np.square(terms).mean(axis=0))
    rays = _rays(*(_liking(labels, column) for column in likings))
    scaled = rays / np.array([*([sizes[0] or 1.0] * (len(rays) - 1)), 1.0])[:, None]

    def loss(weights: Floats) -> tuple[float, Floats]:
        coefficients = weights @ scaled
        z = terms @ coefficients
        penalty = float(np.square(sizes * coefficients).sum()) / (2 * _PRIOR**2)
        slope = terms.T @ (chance_of(z) - labels.gold) + np.square(sizes) * coefficients / _PRIOR**2
        return float(log_loss(z, labels.gold).sum()) + penalty, scaled @ slope

    start = np.zeros(len(rays))
    bounds: list[_Bounds] = [*([(0.0, None)] * (len(rays) - 1)), (None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=_EXACT)
    if found.x[:-1].sum() < _NO_SLOPE:  # nothing of the judge is left, so nothing of it is to be removed
        bounds = [*([(0.0, 0.0)] * (len(rays) - 1)), (None, None)]
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=_EXACT)
    weights = found.x @ scaled
    scale, length, slot, offset = (float(weight) for weight in weights)
    shared = LogitCorrection(scale, length, slot, offset)
    return replace(shared, scales=_scales_by_principle(labels, shared))


def cross_validated(labels: GoldLogits, *, bias: bool = False, seed: int = 0) -> Floats:
    """Return corrected log-odds, (N,), each by a correction fitted without the labels of its own prompt.

    Prompts are dealt into 10 folds at random, or into as many as there are prompts if they are fewer.

    Args:
        labels: log-odds with gold labels.
        bias: as in `fit_logits`.
        seed: seed of the folds.

    Raises:
        DataError: all labels are of one prompt.
    """
    places, count = cluster_places(range(len(labels)) if labels.clusters is None else labels.clusters)
    if count < 2:
        raise DataError("all gold labels are of one prompt", accepted="gold labels of at least two prompts")
    order = sorted(range(count), key=lambda place: derive_uniform("calibration fold", seed, place))
    folds = np.empty(count, dtype=np.int64)
    folds[order] = np.arange(count) % min(_FOLDS, count)
    corrected = np.empty(len(labels))
    for fold in range(min(_FOLDS, count)):
        held_out = folds[places] == fold
        fitted = fit_logits(labels.subset(~held_out), bias=bias)
        corrected[held_out] = fitted.applied_to(labels.subset(held_out))
    return corrected


def _liking(labels: GoldLogits, column: Floats) -> float:
    """Return the judge's liking for a column: the slope of its log-odds at equal gold labels, in nats."""
    terms = np.stack([2 * labels.gold - 1, column], axis=1)
    return float(np.linalg.lstsq(terms, labels.logits, rcond=None)[0][1])


def _rays(length: float, slot: float) -> Floats:
    """Return the coefficients (s, c, d, b) whose sums with weights of at least 0 are all that are allowed.

    With s = 1, the judge's liking for length is left or removed, and so is that for the slot. The last ray is
    b, whose weight is free.
    """
    kept = [
        [1.0, -by_length, -by_slot, 0.0]
        for by_length in sorted({0.0, length})
        for by_slot in sorted({0.0, slot})
    ]
    return np.array([*kept, [0.0, 0.0, 0.0, 1.0]])


def _scales_by_principle(labels: GoldLogits, shared: LogitCorrection) -> dict[str, float]:
    """Return the inverse temperature of each principle with enough gold labels, shrunk to the shared one."""
    from scipy.optimize import minimize_scalar

    if labels.principles is None or not shared.scale:
        return {}
    names = np.asarray(labels.principles)
    scales = {}
    for name in sorted(set(labels.principles)):
        own = names == name
        if own.sum() < GOLD_PER_PRINCIPLE:
            continue
        logits, gold = labels.logits[own], labels.gold[own]
        rest = shared.applied_to(labels)[own] - shared.scale * logits

        def loss(
            log_ratio: float, logits: Floats = logits, gold: Floats = gold, rest: Floats = rest
        ) -> float:
            z = shared.scale * math.exp(log_ratio) * logits + rest
            return float(log_loss(z, gold).sum()) + log_ratio**2 / (2 * _GROUP_SPREAD**2)

        found = minimize_scalar(loss, bounds=(-6 * _GROUP_SPREAD, 6 * _GROUP_SPREAD), method="bounded")
        scales[name] = shared.scale * math.exp(float(found.x))
    return scales
