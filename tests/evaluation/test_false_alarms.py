"""Beyond noise: how often a report says so of variants that do as well as base, and its power."""

from __future__ import annotations

import numpy as np
import pytest

from core.statistics import significance
from evaluation.measures import Series
from evaluation.metrics import metrics_of
from evaluation.presentation import BEYOND_NOISE, EvaluationMetrics
from evaluation.win_rate import WIN_RATE

CHECKS = 20


def beyond(series: list[Series], prompts: int) -> int:
    """Return how many differences of a report are beyond noise."""
    metrics, _ = metrics_of(series, map(str, range(prompts)), 0)
    found = EvaluationMetrics.of(metrics)
    return sum(found.outcome(*key) in BEYOND_NOISE for key in found.values)


def values(row: np.ndarray) -> dict[str, float]:
    return {str(number): float(value) for number, value in enumerate(row)}


def judged(draw: np.random.Generator, prompts: int, kind: str, lift: float = 0.0) -> list[Series]:
    """Return the win rate of a judge whose log-odds have mean `lift`, or who tosses a coin."""
    if kind == "coin":
        row = draw.integers(2, size=prompts).astype(float)
    else:
        row = 1 / (1 + np.exp(-draw.normal(lift, 1.5, prompts)))
    return [Series("sft", WIN_RATE, "share", values(row))]


def checked(draw: np.random.Generator, prompts: int, rate: float, lift: float = 0.0) -> list[Series]:
    """Return checks that both variants pass at one rate, and the first at a higher one by the second."""
    series = []
    for number in range(CHECKS):
        for variant, share in (("base", rate), ("sft", rate + (lift if number == 0 else 0.0))):
            row = (draw.random(prompts) < share).astype(float)
            series.append(Series(variant, f"compliance.c{number}", "share", values(row)))
    return series


def share_beyond(make: object, prompts: int, runs: int, *arguments: object) -> float:
    draw = np.random.default_rng(prompts)
    return float(np.mean([beyond(make(draw, prompts, *arguments), prompts) > 0 for _ in range(runs)]))


@pytest.mark.parametrize("prompts", [6, 10, 30])
def test_judge_without_preference_is_seldom_beyond_noise(prompts: int):
    # 5 % and two standard deviations of 200 reports; percentile intervals gave 12 % with 6 prompts.
    assert share_beyond(judged, prompts, 200, "graded") <= 0.08


@pytest.mark.parametrize("prompts", [6, 10, 30])
def test_no_check_of_twenty_is_beyond_noise_in_most_reports(prompts: int):
    # One by one, 64 % of such reports had at least one.
    assert share_beyond(checked, prompts, 15, 0.5) <= 0.2


@pytest.mark.long
@pytest.mark.parametrize("prompts", [6, 10, 30])
@pytest.mark.parametrize("kind", ["graded", "coin"])
def test_false_alarms_of_a_judge_without_preference(prompts: int, kind: str):
    assert share_beyond(judged, prompts, 10_000, kind) <= 0.055


@pytest.mark.long
@pytest.mark.parametrize("prompts", [6, 10, 30])
@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_false_alarms_of_twenty_checks_together(prompts: int, rate: float):
    assert share_beyond(checked, prompts, 1_000, rate) <= 0.055


def test_large_difference_is_found_among_twenty_checks():
    assert share_beyond(checked, 30, 5, 0.3, 0.7) == 1


def test_every_difference_of_a_report_is_in_one_family():
    draw = np.random.default_rng(0)
    row = draw.normal(0.45, 1.0, 30)
    shifted = [
        Series("base", "words", "words", values(0 * row)),
        Series("sft", "words", "words", values(row)),
    ]
    (p_value,) = significance.difference_p_values([row.tolist()], 0)
    assert 0.05 / CHECKS < p_value < 0.05
    assert beyond(shifted, 30) == 1  # alone
    assert beyond([*shifted, *checked(draw, 30, 0.5)], 30) == 0
