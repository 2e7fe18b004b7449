"""A proxy reward against gold along a training, over the square root of the KL divergence.

In reinforcement learning the proxy rises roughly with sqrt(KL), and gold first with it and then falls (Gao,
Schulman and Hilton 2023, arXiv 2210.10760, section 3.2). The points are the evaluations of a training with a
gold reward.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from training.rl.alarms import EVAL_ERROR, EVAL_GOLD, EVAL_REWARD, KL


@dataclass(frozen=True)
class ProxyGold:
    """Proxy and gold at one evaluation of a training."""

    step: int
    kl: float
    """KL divergence from the reference policy, in nats per answer, of the last step before."""
    proxy: float
    gold: float
    gold_error: float
    """Standard error of gold over prompts."""

    def as_json(self) -> dict[str, float]:
        """Return the point as JSON-able values."""
        return {
            "step": self.step,
            "kl_nats": self.kl,
            "sqrt_kl": math.sqrt(self.kl),
            "proxy": self.proxy,
            "gold": self.gold,
            "gold_error": self.gold_error,
        }


@dataclass(frozen=True)
class OverOptimization:
    """Proxy and gold along one training."""

    points: tuple[ProxyGold, ...]

    @property
    def best(self) -> ProxyGold:
        """The evaluation with the highest gold, the first of equals."""
        return max(self.points, key=lambda point: point.gold)

    def line(self) -> str:
        """Return the course in words."""
        first, best, last = self.points[0], self.best, self.points[-1]
        text = (
            f"proxy {first.proxy:.3g} to {last.proxy:.3g}, gold {first.gold:.3g} to {last.gold:.3g} over "
            f"sqrt(KL) {math.sqrt(first.kl):.2f} to {math.sqrt(last.kl):.2f}"
        )
        if best.step < last.step and last.proxy > best.proxy and last.gold < best.gold:
            text += f"; gold was highest at step {best.step} ({best.gold:.3g}), and the proxy rose since"
        return text

    def as_json(self) -> dict[str, Any]:
        """Return the entry of `metrics.json`."""
        return {"best_gold_step": self.best.step, "points": [point.as_json() for point in self.points]}


def over_optimization(rows: Iterable[Mapping[str, Any]]) -> OverOptimization | None:
    """Return proxy and gold along a training, from the rows of its `metrics.jsonl` in order.

    An estimated KL divergence may be slightly below 0, which counts as 0.

    Returns:
        None if the training has fewer than two evaluations with a gold reward.
    """
    points: list[ProxyGold] = []
    kl = 0.0
    for row in rows:
        kl = max(0.0, float(row.get(KL, kl)))
        if row.get(EVAL_REWARD) is not None and row.get(EVAL_GOLD) is not None:
            step, error = int(row.get("step", 0)), float(row.get(EVAL_ERROR, 0.0))
            points.append(ProxyGold(step, kl, float(row[EVAL_REWARD]), float(row[EVAL_GOLD]), error))
    return OverOptimization(tuple(points)) if len(points) > 1 else None
