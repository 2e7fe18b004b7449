"""Best of n by a run's reward model: what its choice among n answers gains in reward, and in machine checks.

The reward is the proxy that training optimises, the checks are gold. If the checks fall while the reward
rises with n, training harder on this reward model does harm (Gao, Schulman and Hilton 2023, arXiv 2210.10760,
section 3).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from constitution.checks.evaluate import evaluate
from constitution.checks.prompted import check_on
from constitution.draw import in_scope
from constitution.schema import Constitution
from core.records import Prompt
from evaluation.drift.best_of_n import BestOfN, best_of_n_curve


@dataclass(frozen=True)
class RewardedAnswer:
    """One of the answers sampled for a prompt, with its reward and its machine checks."""

    prompt: str
    """Id of the prompt."""
    number: int
    """Place among the answers to the prompt, from 0."""
    text: str
    reward: float | None
    """Score of the reward model; None if it cannot score the answer."""
    checks: float
    """Share of the machine checks in scope that pass."""

    def as_json(self) -> dict[str, Any]:
        """Return the answer as JSON-able values."""
        return dict(vars(self))


@dataclass(frozen=True)
class RewardCurve:
    """The best-of-n curve of a reward model."""

    variant: str
    """Variant of the policy that the answers were sampled from."""
    samples: int
    """Number of answers to each prompt."""
    prompts: int
    """Number of prompts that the curve is based on."""
    points: tuple[BestOfN, ...]
    excluded: Mapping[str, int]
    """Number of prompts that were left out, by reason."""

    def as_json(self) -> dict[str, Any]:
        """Return the entry of `metrics.json`."""
        return {
            "variant": self.variant,
            "samples": self.samples,
            "prompts": self.prompts,
            "left_out": dict(self.excluded),
            "points": [point.as_json() for point in self.points],
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Return n, sqrt(KL), reward and checks in percent of each point, the last two with intervals."""
        return [
            (
                str(point.n),
                f"{math.sqrt(point.kl):.2f}",
                f"{point.proxy.value:.2f} [{point.proxy.low:.2f}, {point.proxy.high:.2f}]",
                f"{100 * point.gold.value:.1f} [{100 * point.gold.low:.1f}, {100 * point.gold.high:.1f}]",
            )
            for point in self.points
        ]


def share_of_checks(constitution: Constitution, prompt: Prompt, text: str) -> float | None:
    """Return the share of the machine checks in scope that an answer passes; None if none is in scope."""
    passed = [
        evaluate(check_on(principle.check, prompt), text).passed
        for principle in constitution.principles
        if principle.check is not None and in_scope(principle, prompt)
    ]
    return sum(passed) / len(passed) if passed else None


def reward_curve(
    answers: Iterable[RewardedAnswer],
    variant: str,
    samples: int,
    seed: int = 0,
    excluded: Mapping[str, int] | None = None,
) -> RewardCurve:
    """Return the curve of the prompts of which all answers have a reward.

    Args:
        answers: the answers to all prompts, in any order.
        variant: the variant that they were sampled from.
        samples: number of answers that each prompt should have.
        seed: seed of the bootstrap.
        excluded: number of prompts that were left out before, by reason.
    """
    by_prompt: dict[str, list[RewardedAnswer]] = {}
    for answer in answers:
        by_prompt.setdefault(answer.prompt, []).append(answer)
    counts = Counter(excluded or {})
    used: list[Sequence[RewardedAnswer]] = []
    for _, given in sorted(by_prompt.items()):
        if any(answer.reward is None for answer in given):
            counts["the reward model cannot score an answer"] += 1
        elif len(given) < samples:
            counts["fewer answers than asked for"] += 1
        else:
            used.append(given)
    proxies = [[answer.reward for answer in given if answer.reward is not None] for given in used]
    golds = [[answer.checks for answer in given] for given in used]
    return RewardCurve(variant, samples, len(used), best_of_n_curve(proxies, golds, seed), dict(counts))
