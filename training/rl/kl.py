"""Divergence of the policy from its reference: estimators from samples, and the penalty's coefficient.

All estimators take log-ratios log pi(token) - log ref(token) of tokens that the policy drew, in nats.
(Schulman 2020, "Approximating KL divergence", http://joschu.net/blog/kl-approx.html.)
"""

from __future__ import annotations

import torch

_STEP = 0.2
"""Bound on the relative error of one batch (Ziegler et al. 2019, section 2.2)."""


def k1(logratios: torch.Tensor) -> torch.Tensor:
    """Return the log-ratios themselves: unbiased, and negative for some tokens."""
    return logratios


def k2(logratios: torch.Tensor) -> torch.Tensor:
    """Return half the squared log-ratios: never negative, low variance, biased where the two differ."""
    return logratios.square() / 2


def k3(logratios: torch.Tensor) -> torch.Tensor:
    """Return exp(-x) - 1 + x of the log-ratios x: unbiased and never negative."""
    return torch.expm1(-logratios) + logratios


class KLController:
    """The coefficient of the KL penalty: fixed, or adapted to bring the divergence to a target.

    After each batch, coefficient <- coefficient * (1 + rate * e) with
    e = clip(KL / target - 1, -0.2, 0.2): Ziegler et al. 2019, arXiv 1909.08593, section 2.2, where `rate` is
    0.1.

    Args:
        coefficient: at the start.
        target: in nats per answer; None keeps the coefficient fixed.
        rate: relative change of the coefficient per batch at the largest error.
    """

    def __init__(self, coefficient: float, target: float | None = None, rate: float = 0.1) -> None:
        self.coefficient = coefficient
        self._target, self._rate = target, rate

    def update(self, kl: float) -> None:
        """Adapt the coefficient to the mean divergence of a batch, in nats per answer."""
        if self._target is None:
            return
        error = min(max(kl / self._target - 1, -_STEP), _STEP)
        self.coefficient *= 1 + self._rate * error


_MAX_LOG_RATIO = 20.0
"""Bound on a log-ratio: exp overflows float32 at 88, and larger ratios are clipped anyway."""


def ratio_of(logprobs: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Return (A,) probability ratios from log-probabilities in nats."""
    return (logprobs - before).clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO).exp()
