"""A linear probe: logistic regression on hidden states, of replies alone and of pairs of replies.

A reply alone has the log-odds s = w . h + b that it fulfils the principle; of a pair, the log-odds that the
first reply is better are s_1 - s_2 (Bradley and Terry 1952), in which b cancels. Swapping a pair's replies
therefore maps p to 1 - p exactly. Both kinds of labels train one probe:

    cross_entropy   -y log p - (1 - y) log(1 - p)
    brier           (y - p)^2, which bounds the weight of a label that is wrong

plus l2 / 2 |w|^2, on hidden states scaled to unit variance.

Shapes: `R` rows (one question each), `D` width, `N` labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.lazy import require
from core.statistics.bootstrap import Floats
from engines.judge.settings import Loss

_EXTRA = "train"
_STEPS = 300
"""Maximum number of steps of L-BFGS."""


@dataclass(frozen=True, slots=True)
class GoldLabel:
    """A gold label of a reply, or of a pair of replies, whose questions are rows of hidden states."""

    first: int
    """Row of the reply; of a pair, of the one that `target` is about."""
    second: int | None
    """Row of the pair's other reply; None for a reply alone."""
    target: float
    """Probability that the reply fulfils the principle, or that the pair's first reply is better."""
    group: str
    """Id of the prompt: labels of one group are on the same side of every split."""
    kind: str
    """Kind of label, for figures: `pairs`, or a kind of machine check."""
    weight: float = 1.0


@dataclass(frozen=True)
class Probe:
    """Weights (D,) and bias for hidden states as they are."""

    weight: Floats
    bias: float

    def log_odds(self, states: Floats, labels: Sequence[GoldLabel]) -> Floats:
        """Return the log-odds (N,) of labels, from the hidden states (R, D)."""
        design, constant = design_of(states, labels)
        return np.asarray(design @ self.weight + constant * self.bias)

    def at_temperature(self, temperature: float) -> Probe:
        """Return the probe whose log-odds are divided by a temperature."""
        return Probe(self.weight / temperature, self.bias / temperature)


def design_of(states: Floats, labels: Sequence[GoldLabel]) -> tuple[Floats, Floats]:
    """Return the features (N, D) of labels, and the factor (N,) of the bias: 0 for a pair."""
    first = states[[label.first for label in labels]]
    alone = np.array([label.second is None for label in labels], dtype=np.float64)
    other = states[[label.first if label.second is None else label.second for label in labels]]
    return first - other * (1 - alone)[:, None], alone


def fit_probe(states: Floats, labels: Sequence[GoldLabel], loss: Loss, l2: float) -> Probe:
    """Fit a probe by L-BFGS.

    Args:
        states: hidden states (R, D).
        labels: at least one label.
        loss: the loss of a label.
        l2: weight of half the squared norm, in units of one label's loss on average.
    """
    return fit_probes(states, labels, loss, (l2,))[0]


def fit_probes(
    states: Floats, labels: Sequence[GoldLabel], loss: Loss, penalties: Sequence[float]
) -> list[Probe]:
    """Fit a probe for each weight of the squared norm; each fit starts from that of the next larger weight.

    Args:
        states: hidden states (R, D).
        labels: at least one label.
        loss: the loss of a label.
        penalties: weights of half the squared norm, in units of one label's loss on average.
    """
    used = sorted({r for label in labels for r in (label.first, label.second) if r is not None})
    mean, scale = states[used].mean(axis=0), states[used].std(axis=0) + 1e-6
    design, constant = design_of((states - mean) / scale, labels)
    target = np.array([label.target for label in labels])
    weight = np.array([label.weight for label in labels])
    optimize = require("scipy.optimize", _EXTRA)
    at = np.zeros(design.shape[1] + 1)
    found: dict[float, Probe] = {}
    for l2 in sorted(penalties, reverse=True):
        problem = _Problem(design, constant, target, weight / weight.sum(), loss, l2)
        at = optimize.minimize(
            problem.value_and_gradient, at, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}
        ).x
        own = at[:-1] / scale
        found[l2] = Probe(own, float(at[-1] - own @ mean))
    return [found[l2] for l2 in penalties]


@dataclass(frozen=True)
class _Problem:
    design: Floats
    constant: Floats
    target: Floats
    weight: Floats
    loss: Loss
    l2: float

    def value_and_gradient(self, parameters: Floats) -> tuple[float, Floats]:
        """Return the loss and its gradient (D + 1,) at weights and bias (D + 1,)."""
        w, b = parameters[:-1], parameters[-1]
        score = self.design @ w + self.constant * b
        p = 0.5 * (1 + np.tanh(score / 2))  # the sigmoid, without overflow
        if self.loss == "brier":
            losses, slopes = (p - self.target) ** 2, 2 * (p - self.target) * p * (1 - p)
        else:
            losses, slopes = np.logaddexp(0, score) - self.target * score, p - self.target
        pull = self.weight * slopes
        value = float(self.weight @ losses + self.l2 / 2 * w @ w)
        return value, np.append(self.design.T @ pull + self.l2 * w, self.constant @ pull)
