"""Formatting of metrics, and differences beyond noise."""

from __future__ import annotations

import pytest

from core.records import Metric
from evaluation.presentation import (
    MIN_PROMPTS,
    EvaluationMetrics,
    in_brackets,
    in_parentheses,
    number,
    title_of,
)


def metric(name: str, value: float, low: float, high: float, unit: str = "share", n: int = 40) -> Metric:
    return Metric(name=name, value=value, low=low, high=high, n=n, unit=unit)


def outcome(measure: str, low: float, high: float, n: int = 40) -> str | None:
    if measure == "win_rate":
        found = [metric("sft.win_rate", (low + high) / 2, low, high, n=n)]
    else:
        delta = metric(f"sft.{measure}.delta", (low + high) / 2, low, high, n=n)
        found = [metric(f"base.{measure}", 0, 0, 0), metric(f"sft.{measure}", 0, 0, 0), delta]
    return EvaluationMetrics.of(found).outcome("sft", measure)


@pytest.mark.parametrize(
    ("measure", "low", "high", "expected"),
    [
        ("compliance", 0.1, 0.3, "better"),
        ("compliance.short", -0.3, -0.1, "worse"),
        ("empty", 0.1, 0.3, "worse"),
        ("finished", 0.1, 0.3, "better"),
        ("repeated", -0.3, -0.1, "better"),
        ("words", -20.0, -9.0, "other"),
        ("compliance", -0.1, 0.3, "noise"),
        ("compliance", 0.0, 0.3, "noise"),
        ("empty", 0.0, 0.0, "same"),
        ("win_rate", 0.51, 0.6, "better"),
        ("win_rate", 0.4, 0.49, "worse"),
        ("win_rate", 0.5, 0.6, "noise"),
        ("win_rate", 0.5, 0.5, "same"),
    ],
)
def test_difference_is_beyond_noise_if_its_interval_excludes_none_at_all(
    measure: str, low: float, high: float, expected: str
):
    assert outcome(measure, low, high) == expected


def test_nothing_is_beyond_noise_on_so_few_prompts_that_chance_alone_could_do_it():
    assert outcome("compliance", 1.0, 1.0, n=MIN_PROMPTS - 1) == "noise"
    assert outcome("compliance", 1.0, 1.0, n=MIN_PROMPTS) == "better"
    assert 2.0 ** (1 - MIN_PROMPTS) < 0.05 < 2.0 ** (2 - MIN_PROMPTS)


def difference(name: str, p_value: float, together: tuple[float, float]) -> list[Metric]:
    """Return a difference of 0.1 on 40 prompts, with the values that it is between."""
    low, high = together
    delta = metric(f"sft.{name}.delta", 0.1, 0.01, 0.19).model_copy(
        update={"p_value": p_value, "changed": 20, "simultaneous_low": low, "simultaneous_high": high}
    )
    return [metric(f"base.{name}", 0, 0, 0), metric(f"sft.{name}", 0.1, 0, 0.2), delta]


def test_interval_that_is_shown_agrees_with_the_test():
    # Holm: 0.01 * 3, 0.02 * 2 and 0.2; the interval of the second, Bonferroni's, covers no difference.
    ends = {"empty": (0.02, 0.18), "finished": (-0.03, 0.23), "repeated": (0.01, 0.19)}
    p_values = {"empty": 0.01, "finished": 0.02, "repeated": 0.2}
    rows = [row for name, p in p_values.items() for row in difference(name, p, ends[name])]
    found = EvaluationMetrics.of(rows)
    outcomes = {name: found.outcome("sft", name) for name in ends}
    assert outcomes == {"empty": "worse", "finished": "better", "repeated": "noise"}
    shown = {name: found.deltas["sft", name] for name in ends}
    assert [(one.simultaneous_low, one.simultaneous_high) for one in shown.values()] == [
        (0.02, 0.18),
        (0.0, 0.23),
        (0.0, 0.19),
    ]
    assert in_brackets(shown["finished"], signed=True, together=True) == "+10.0 [+0.0, +23.0]"
    assert {(one.low, one.high) for one in shown.values()} == {(0.01, 0.19)}  # each for itself: as measured


def test_interval_of_a_win_rate_agrees_with_the_test_around_one_half():
    win_rate = metric("sft.win_rate", 0.4, 0.3, 0.5).model_copy(
        update={"p_value": 0.01, "changed": 20, "simultaneous_low": 0.25, "simultaneous_high": 0.55}
    )
    found = EvaluationMetrics.of([win_rate])
    assert found.outcome("sft", "win_rate") == "worse"
    shown = found.values["sft", "win_rate"]
    assert (shown.simultaneous_low, shown.simultaneous_high) == (0.25, 0.5)


def test_what_has_no_difference_to_base_is_not_judged():
    figures = EvaluationMetrics.of([metric("base.words", 9, 8, 10), metric("sft.kl", 0.1, 0.05, 0.2, "nats")])
    assert figures.outcome("base", "words") is None
    assert figures.outcome("sft", "kl") is None


def test_steered_measures_stand_first_and_variants_in_their_order():
    names = ["dpo.words", "base.words", "sft.compliance.x", "sft.compliance", "sft.win_rate", "base.finished"]
    figures = EvaluationMetrics.of(metric(name, 0.5, 0.4, 0.6) for name in names)
    assert figures.measures == ("compliance", "compliance.x", "win_rate", "words", "finished")
    assert figures.variants == ("base", "sft", "dpo")


@pytest.mark.parametrize(
    ("given", "narrow", "wide"),
    [
        (metric("m", 0.614, 0.52, 0.709), "61.4 (52.0-70.9)", "61.4 [52.0, 70.9]"),
        (metric("m", 1.0, 1.0, 1.0), "100 (100-100)", "100.0 [100.0, 100.0]"),
        (metric("m", 108.23, 99.95, 115.0, "words"), "108 (100-115)", "108 [100, 115]"),
        (metric("m", 53.4, 46.0, 61.26, "words"), "53.4 (46.0-61.3)", "53.4 [46.0, 61.3]"),
        (metric("m", 0.1234, 0.1, 0.15, "nats"), "0.123 (0.100-0.150)", "0.123 [0.100, 0.150]"),
        (metric("m", 0.001, -0.002, 0.004, "nats"), "0.001 (-0.002 to 0.004)", "0.001 [-0.002, 0.004]"),
        (Metric(name="m", value=0.25, n=4, unit="share"), "25.0", "25.0"),
    ],
)
def test_figure_is_written_with_its_interval(given: Metric, narrow: str, wide: str):
    assert (in_parentheses(given), in_brackets(given)) == (narrow, wide)
    assert wide.startswith(number(given))


def test_difference_is_written_with_its_sign_and_never_as_minus_zero():
    given = metric("m", 0.1, -0.0001, 0.2)
    assert in_brackets(given, signed=True) == "+10.0 [+0.0, +20.0]"


def test_titles_carry_the_unit():
    assert title_of("compliance.at-most-60-words", "share") == "at-most-60-words, %"
    assert title_of("words", "words") == "words"
    assert title_of("kl", "nats") == "KL, nats/token"
