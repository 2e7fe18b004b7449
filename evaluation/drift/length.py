"""Length inflation: the mean number of words of a variant's answers over that of base's."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from core.records import Metric
from core.statistics.bootstrap import LEVEL
from evaluation.config import BASE
from evaluation.drift.names import LENGTH_RATIO
from evaluation.metrics import MIN_PROMPTS


def length_metrics(words: Mapping[str, Mapping[str, float]]) -> tuple[Metric, ...]:
    """Return the ratio of mean lengths of each variant.

    The interval is that of the logarithm of the ratio, by the delta method with Student's t distribution:
    with y_i and x_i the words of both answers to a prompt, the squared error is the variance of y_i /
    mean(y) - x_i / mean(x), over n (Cochran 1977, "Sampling Techniques", section 6.3).

    Args:
        words: number of words by variant and prompt id.

    Returns:
        No metrics if base has no answers, too few prompts are shared, or a variant wrote nothing.
    """
    found: list[Metric] = []
    for variant, given in words.items():
        prompts = sorted(given.keys() & words.get(BASE, {}).keys())
        if variant == BASE or len(prompts) < MIN_PROMPTS:
            continue
        ours = np.array([given[prompt_id] for prompt_id in prompts])
        base = np.array([words[BASE][prompt_id] for prompt_id in prompts])
        if ours.mean() > 0 and base.mean() > 0:
            found.append(_metric_of_ratio(variant, ours, base))
    return tuple(found)


def _metric_of_ratio(variant: str, ours: np.ndarray, base: np.ndarray) -> Metric:
    from scipy.special import stdtrit

    count, ratio = len(ours), float(ours.mean() / base.mean())
    error = float((ours / ours.mean() - base / base.mean()).std(ddof=1)) / math.sqrt(count)
    factor = math.exp(float(stdtrit(count - 1, (1 + LEVEL) / 2)) * error)
    name = f"{variant}.{LENGTH_RATIO}"
    return Metric(name=name, value=ratio, low=ratio / factor, high=ratio * factor, n=count, unit="ratio")
