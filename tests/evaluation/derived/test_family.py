"""Chosen measures as a family of their own."""

from __future__ import annotations

import pytest

from core.records import Metric
from evaluation.derived.family import metrics_in_family
from evaluation.measures import Series
from evaluation.metrics import metrics_of
from evaluation.presentation import EvaluationMetrics

PROMPTS = [f"p{n}" for n in range(10)]


def series(variant: str, measure: str, values: list[float]) -> Series:
    return Series(variant, measure, "words", dict(zip(PROMPTS, values, strict=True)))


EVERY = [
    series(variant, measure, [n * step + 0.1 * (n % 3) * step for n in range(10)])
    for measure, step in (("words", 2.0), ("kl", 3.0), ("other", 0.5))
    for variant, step in (("base", 1.0), ("dpo", step))
]


def test_only_the_chosen_differences_are_tests():
    recorded = metrics_of(EVERY, PROMPTS, 0)[0]
    whole = EvaluationMetrics.of(recorded)
    chosen = EvaluationMetrics.of(metrics_in_family(EVERY, recorded, {"words"}))
    assert chosen.measures == ("words",)
    before, after = whole.deltas["dpo", "words"], chosen.deltas["dpo", "words"]
    assert (before.value, before.p_value, before.low) == (after.value, after.p_value, after.low)
    assert before.simultaneous_low is not None
    assert after.simultaneous_low == pytest.approx(after.low)  # one test needs no correction
    assert before.simultaneous_low < after.simultaneous_low
    assert chosen.adjusted_p_value("dpo", "words") == after.p_value
    adjusted = whole.adjusted_p_value("dpo", "words")
    assert adjusted is not None
    assert after.p_value is not None
    assert adjusted > after.p_value


def test_a_recorded_measure_without_values_is_a_test_of_the_family():
    ends = {"simultaneous_low": 0.05, "simultaneous_high": 0.35}
    recorded = [
        Metric(name="base.distinct_2", value=0.5, n=10, unit="share"),
        Metric(name="dpo.distinct_2", value=0.7, n=10, unit="share"),
        Metric(name="dpo.distinct_2.delta", value=0.2, low=0.1, high=0.3, n=10, p_value=0.01, **ends),
        Metric(name="dpo.unlike.delta", value=0.2, n=10, p_value=0.01),
    ]
    found = EvaluationMetrics.of(metrics_in_family(EVERY, recorded, {"words", "distinct_2"}))
    assert set(found.measures) == {"words", "distinct_2"}
    assert found.deltas["dpo", "distinct_2"].simultaneous_low == 0.05
    of_words = found.deltas["dpo", "words"]
    assert of_words.low is not None
    assert of_words.simultaneous_low is not None
    assert of_words.simultaneous_low < of_words.low
    assert found.adjusted_p_value("dpo", "distinct_2") == pytest.approx(0.01)


def test_an_unchanged_difference_is_no_test_and_its_adjusted_p_value_is_one():
    same = [series(variant, "words", [1.0] * 10) for variant in ("base", "dpo")]
    found = EvaluationMetrics.of(metrics_in_family(same, [], {"words"}))
    assert found.adjusted_p_value("dpo", "words") == 1.0
    assert found.outcome("dpo", "words") == "same"
