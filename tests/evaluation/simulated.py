"""Reports on variants whose true rates are known, for tests and benchmarks of intervals and tests.

Prompt i has the rate p_i of a variant, from a beta distribution with mean p and intra-class correlation
`within`; a value is the share of `samples` Bernoulli(p_i) draws. The rates of one prompt under both variants
are joined by a Gaussian copula with correlation `paired`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from scipy.stats import beta

from core.records import Metric
from core.statistics.bootstrap import LEVEL, Interval
from core.statistics.intervals import share_difference_interval, share_interval
from core.statistics.significance import LEVEL_OF_TESTS, difference_p_values, holm
from evaluation.measures import Series
from evaluation.metrics import metrics_of

RATES = tuple(step / 10 for step in range(1, 10))


@dataclass(frozen=True)
class Answers:
    """How answers of two variants are drawn."""

    samples: int = 1
    within: float = 0.5
    """Correlation of two samples of one prompt, in [0, 1)."""
    paired: float = 0.8
    """Correlation of the rates of one prompt under both variants, before they are turned into rates."""

    def draw(
        self, draw: np.random.Generator, rates: tuple[float, float], prompts: int, sets: int
    ) -> np.ndarray:
        """Return shares of samples that comply, (2, sets, prompts), of `base` and the variant."""
        common, own = draw.normal(size=(sets, prompts)), draw.normal(size=(2, sets, prompts))
        places = ndtr(np.sqrt(self.paired) * common + np.sqrt(1 - self.paired) * own)
        scale = (1 - self.within) / max(self.within, 1e-6)
        chances = [beta.ppf(u, p * scale, (1 - p) * scale) for u, p in zip(places, rates, strict=True)]
        return draw.binomial(self.samples, np.clip(chances, 0, 1)) / self.samples


DESIGNS: Mapping[str, Answers] = {
    "1 sample, unpaired": Answers(1, 0.0, 0.0),
    "1 sample, paired": Answers(1, 0.9, 0.97),
    "2 samples, correlation 0.3": Answers(2, 0.3, 0.5),
    "4 samples, independent": Answers(4, 0.0, 0.0),
    "4 samples, correlation 0.3": Answers(4, 0.3, 0.9),
    "4 samples, correlation 0.7": Answers(4, 0.7, 0.9),
}


def report_on(values: np.ndarray) -> dict[str, Metric]:
    """Return the metrics of a report with one check for each set of values, (2, sets, prompts)."""
    series = [
        Series(variant, f"compliance.c{check}", "share", {str(n): float(v) for n, v in enumerate(row)})
        for variant, rows in zip(("base", "sft"), values, strict=True)
        for check, row in enumerate(rows)
    ]
    metrics, _ = metrics_of(series, map(str, range(values.shape[2])), 0)
    return {metric.name: metric for metric in metrics}


def coverage(answers: Answers, prompts: int, reports: int, seed: int = 0) -> dict[str, float]:
    """Return how often intervals cover the true value, averaged over true rates of 0.1 to 0.9.

    `rate` is that of single rates, `difference` that of paired differences, half of them of equal rates,
    and `together` that of all differences of a report of 20 checks. `equal` and `changed` are the
    differences of equal rates and of others.

    Args:
        answers: how answers are drawn.
        prompts: number of prompts of a report.
        reports: number of reports of 20 checks for each rate.
        seed: seed of the draws.
    """
    draw = np.random.default_rng(seed)
    names = ("rate", "difference", "together", "equal", "changed")
    covered: dict[str, list[bool]] = {name: [] for name in names}
    for p in RATES:
        for number in range(reports):
            q = p if number % 2 else RATES[draw.integers(len(RATES))]
            base, other = answers.draw(draw, (p, q), prompts, 20)
            covered["rate"] += [_covers(share_interval(row), p) for row in base]
            single, together = intervals_of(other - base)
            found = [_covers(interval, q - p) for interval in single]
            covered["difference"] += found
            covered["equal" if q == p else "changed"] += found
            covered["together"].append(all(_covers(interval, q - p) for interval in together))
    return {name: float(np.mean(found)) for name, found in covered.items()}


def intervals_of(differences: np.ndarray) -> tuple[list[Interval], list[Interval]]:
    """Return the intervals of a report's differences, (checks, prompts): single ones, and all together.

    They are those of `report_on`, which also does what a simulation of thousands of reports has no time for.
    """
    changed = int(differences.any(axis=1).sum())
    level = 1 - (1 - LEVEL) / changed if changed else LEVEL
    return (
        [share_difference_interval(row) for row in differences],
        [share_difference_interval(row, level) for row in differences],
    )


def is_alarm(differences: np.ndarray) -> bool:
    """Return whether a report calls one of its differences, (checks, prompts), beyond noise."""
    changed = differences[differences.any(axis=1)]
    if not len(changed):
        return False
    return min(holm(difference_p_values(changed.tolist(), 0))) <= LEVEL_OF_TESTS


def false_alarms(answers: Answers, prompts: int, reports: int, checks: int = 20, seed: int = 0) -> float:
    """Return the share of reports that call a difference beyond noise though both variants comply equally.

    The checks of a report have different rates, 0.1 to 0.9.
    """
    draw = np.random.default_rng(seed)
    alarms = 0
    for _ in range(reports):
        rows = [answers.draw(draw, (p, p), prompts, 1) for p in draw.choice(RATES, checks)]
        base, other = np.concatenate(rows, axis=1)
        alarms += is_alarm(other - base)
    return alarms / reports


def _covers(interval: Interval, truth: float) -> bool:
    return interval.low - 1e-9 <= truth <= interval.high + 1e-9
