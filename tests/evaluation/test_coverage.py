"""Intervals of a report cover true rates and differences, and nothing is found where nothing changed."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.presentation import BEYOND_NOISE, EvaluationMetrics
from tests.evaluation.simulated import (
    DESIGNS,
    coverage,
    false_alarms,
    intervals_of,
    is_alarm,
    report_on,
)

PAIRED = DESIGNS["1 sample, paired"]


@pytest.mark.parametrize("rates", [(0.3, 0.3), (0.2, 0.9)])
def test_simulated_intervals_and_alarms_are_those_of_a_report(rates: tuple[float, float]):
    answers = PAIRED.draw(np.random.default_rng(0), rates, 24, 5)
    found = report_on(answers)
    deltas = [found[f"sft.compliance.c{check}.delta"] for check in range(5)]
    single, together = intervals_of(answers[1] - answers[0])
    assert [(m.low, m.high) for m in deltas] == [(i.low, i.high) for i in single]
    assert [(m.simultaneous_low, m.simultaneous_high) for m in deltas] == [(i.low, i.high) for i in together]
    metrics = EvaluationMetrics.of(found.values())
    alarm = any(metrics.outcome(*key) in BEYOND_NOISE for key in metrics.values)
    assert is_alarm(answers[1] - answers[0]) == alarm == (rates[0] != rates[1])


def test_intervals_of_twelve_prompts_cover():
    # 1,080 intervals: three standard deviations are 2 points. Student's t covers 89 % of the rates.
    found = coverage(PAIRED, 12, 6)
    assert found["rate"] >= 0.93
    assert found["difference"] >= 0.93


@pytest.mark.long
@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize(("prompts", "highest"), [(12, 1.0), (48, 0.97), (200, 0.97)])
def test_coverage_averaged_over_true_rates(design: str, prompts: int, highest: float):
    found = coverage(DESIGNS[design], prompts, 30)
    for name in ("rate", "difference"):
        assert 0.93 <= found[name] <= highest + 0.005  # two standard deviations of the simulation
    assert found["together"] >= 0.92


@pytest.mark.long
@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("prompts", [12, 48])
def test_false_alarms_of_a_report(design: str, prompts: int):
    assert false_alarms(DESIGNS[design], prompts, 500) <= 0.06
