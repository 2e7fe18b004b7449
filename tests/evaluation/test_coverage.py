"""Intervals of a report cover true rates and differences, and nothing is found where nothing changed."""

from __future__ import annotations

import pytest

from tests.evaluation.simulated import DESIGNS, coverage, false_alarms

PAIRED = DESIGNS["1 sample, paired"]


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
