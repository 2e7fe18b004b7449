"""Length-controlled win rate: alpaca_eval's values, coverage, and what length must not explain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.length_control import ours
from core.records import Candidate, Comparison, Prompt
from evaluation.length_control import MIN_COMPARISONS, length_controlled, length_controlled_rates
from evaluation.win_rate import Win

CASES = json.loads((Path(__file__).parent / "length_control.json").read_text())
"""Comparisons drawn by `benchmarks/length_control.py`, with the values of alpaca_eval 0.6.6 for them."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['glm']}-{len(case['p'])}")
def test_it_is_alpaca_eval_s_within_half_a_point(case):
    assert ours(case) == pytest.approx(case["alpaca_eval"], abs=0.005)
    assert abs(case["alpaca_eval"] - sum(case["p"]) / len(case["p"])) > 0.001  # the fixture has an effect


def test_a_judge_that_sees_only_length_gives_one_half():
    rng = np.random.default_rng(0)
    base = rng.integers(200, 400, 400)
    longer = base + rng.integers(50, 400, 400)
    delta = base - longer
    p = 1 / (1 + np.exp(2 * np.tanh(delta / delta.std(ddof=1))))
    found = length_controlled(p.tolist(), longer.tolist(), base.tolist())
    assert p.mean() > 0.75
    assert found.rate == pytest.approx(0.5, abs=0.02)
    assert found.length_effect < -1.5


def test_equal_lengths_leave_the_win_rate():
    p = [0.9, 0.6, 0.7, 0.4, 0.8] * 20
    found = length_controlled(p, [100] * 100, [100] * 100)
    assert found.rate == pytest.approx(0.68, abs=0.01)
    assert found.low < 0.68 < found.high
    assert found.length_effect == 0


def test_the_interval_covers_the_true_rate():
    """Verdicts with a true rate of 62 % at equal length, and longer answers that are preferred."""
    rng, inside, trials, theta = np.random.default_rng(1), 0, 60, float(np.log(0.62 / 0.38))
    for _ in range(trials):
        base = np.exp(rng.normal(6, 0.4, 150))
        longer = base * np.exp(rng.normal(0.3, 0.4, 150))
        term = np.tanh((base - longer) / (base - longer).std(ddof=1))
        wins = rng.random(150) < 1 / (1 + np.exp(-(theta - term)))
        found = length_controlled(
            wins.astype(float).tolist(), longer.astype(int).tolist(), base.astype(int).tolist()
        )
        inside += found.low <= 0.62 <= found.high
    assert inside / trials >= 0.88


def test_too_few_comparisons_are_refused():
    with pytest.raises(ValueError, match="at least 10 are needed"):
        length_controlled([0.5] * (MIN_COMPARISONS - 1), [1] * 9, [2] * 9)


def test_lengths_are_those_of_the_variant_s_own_answer_whatever_its_side():
    wins = []
    for number in range(40):
        mine, base = "long answer " * (3 + number % 7), f"short {number}"
        comparison = Comparison.of(Prompt.of(f"p{number}"), Candidate(mine, "sft"), Candidate(base, "base"))
        wins.append(Win(comparison, "sft", 0.8 if number % 7 > 3 else 0.4))
    assert {win.comparison.origin_a for win in wins} == {"sft", "base"}
    unjudged = Win(wins[0].comparison, "sft", None)
    between_variants = Win(wins[0].comparison, "sft", 1.0, other="dpo")
    found = length_controlled_rates([*wins, unjudged, between_variants])["sft"]
    expected = length_controlled(
        [win.p for win in wins],
        [len("long answer ") * (3 + number % 7) for number in range(40)],
        [len(f"short {number}") for number in range(40)],
    )
    assert found == expected
    assert length_controlled_rates(wins[:29]) == {}
