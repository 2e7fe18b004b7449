"""Trained models against the prompted one: paired by prompt, corrected among themselves."""

from __future__ import annotations

import numpy as np
import pytest

from core.statistics.significance import difference_p_values
from evaluation.derived.against import metrics_against
from evaluation.measures import Series

PROMPTS = [f"prompt{n}" for n in range(12)]
PROMPTED = [1.0, 0.0] * 6
DPO = [1.0] * 11 + [0.0]


def series(variant: str, values: list[float], measure: str = "compliance") -> Series:
    return Series(variant, measure, "share", dict(zip(PROMPTS, values, strict=True)))


def test_differences_are_paired_with_the_reference_and_not_with_base():
    found = metrics_against(
        [series("base", [0.0] * 12), series("prompted", PROMPTED), series("dpo", DPO)], "prompted"
    )
    assert found is not None
    assert found.variants == ("base", "dpo")
    assert found.values["base", "compliance"].value == 0.5
    delta = found.deltas["dpo", "compliance"]
    moved = np.array(DPO) - np.array(PROMPTED)
    assert (delta.value, delta.n, delta.changed) == (pytest.approx(moved.mean()), 12, 5)
    assert delta.p_value == pytest.approx(difference_p_values([moved], 0)[0])
    assert found.outcome("dpo", "compliance") == "noise"  # five of five: p = 0.0625
    over_base = metrics_against(
        [series("prompted", [0.0] * 12), series("base", PROMPTED), series("dpo", DPO)], "prompted"
    )
    assert over_base is not None
    assert over_base.outcome("dpo", "compliance") == "better"


def test_tests_are_corrected_for_those_of_this_comparison_alone():
    worse = [1.0 - value for value in DPO]
    given = [series("prompted", [0.0] * 12), series("dpo", DPO)]
    one = metrics_against([*given, *(series("base", worse, f"m{n}") for n in range(9))], "prompted")
    many = metrics_against(
        [
            *given,
            *(s for n in range(9) for s in (series("prompted", DPO, f"m{n}"), series("dpo", worse, f"m{n}"))),
        ],
        "prompted",
    )
    assert one is not None
    assert many is not None
    assert one.measures == ("compliance",)
    narrow, wide = one.deltas["dpo", "compliance"], many.deltas["dpo", "compliance"]
    assert (narrow.low, narrow.p_value) == (wide.low, wide.p_value)
    assert narrow.simultaneous_low is not None
    assert wide.simultaneous_low is not None
    assert wide.simultaneous_low < narrow.simultaneous_low


@pytest.mark.parametrize(
    "given",
    [
        [series("base", PROMPTED), series("dpo", DPO)],
        [series("base", DPO), series("prompted", PROMPTED)],
        [series("prompted", PROMPTED, "win_rate"), series("dpo", DPO, "win_rate")],
        [],
    ],
)
def test_nothing_to_compare_is_none(given: list[Series]):
    assert metrics_against(given, "prompted") is None
