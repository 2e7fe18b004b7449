"""Distance from a tie: decimals compare as they are written."""

from __future__ import annotations

import pytest

from core.statistics.ties import distance_from_tie


@pytest.mark.parametrize("p", [0.6, 0.4, 1 - 0.6, 3 / 5, 12 / 20, (1.0 + 0.2) / 2])
def test_six_tenths_are_one_tenth_from_a_tie(p: float):
    assert distance_from_tie(p) >= 0.1


@pytest.mark.parametrize("p", [0.5999999, 0.4000001, 0.5])
def test_less_than_six_tenths_is_less_than_one_tenth_from_a_tie(p: float):
    assert distance_from_tie(p) < 0.1


@pytest.mark.parametrize("hundredths", range(1, 50))
def test_any_two_decimals_compare_as_written(hundredths: int):
    assert distance_from_tie(0.5 + hundredths / 100) == hundredths / 100
    assert distance_from_tie(0.5 - hundredths / 100) == hundredths / 100
