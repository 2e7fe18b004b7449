"""Best-of-n curves and proxies along trainings: worked numbers and equality with brute force."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest

from constitution.schema import Constitution
from core.records import Generation, Prompt, Sampling, ScoredAnswer
from evaluation.drift.best_of_n import best_of_n_curve, best_of_n_kl, expected_of_best
from evaluation.drift.measured import judged_against_checks
from evaluation.drift.over_optimization import over_optimization


def test_kl_of_best_of_n():
    assert best_of_n_kl(1) == 0.0
    assert best_of_n_kl(4) == pytest.approx(math.log(4) - 0.75)
    # Of samples with uniform scores, the best of n has the density n x^(n - 1).
    x = (np.arange(1_000_000) + 0.5) / 1_000_000
    assert fmean(4 * x**3 * np.log(4 * x**3)) == pytest.approx(best_of_n_kl(4), abs=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_it_is_the_mean_over_all_choices(n: int):
    rng = np.random.default_rng(n)
    proxy, gold = rng.normal(size=6).tolist(), rng.normal(size=6).tolist()
    best = [max(chosen, key=lambda place: proxy[place]) for chosen in combinations(range(6), n)]
    expected = fmean(proxy[place] for place in best), fmean(gold[place] for place in best)
    assert expected_of_best(proxy, gold, n) == pytest.approx(expected)


def test_samples_with_the_same_proxy_share_their_weight():
    assert expected_of_best([1.0, 1.0, 1.0], [0.0, 0.0, 3.0], 2) == pytest.approx((1.0, 1.0))
    assert expected_of_best([0.0, 1.0, 1.0], [9.0, 0.0, 1.0], 3) == pytest.approx((1.0, 0.5))


@pytest.mark.parametrize("n", [0, 4])
def test_more_than_all_samples_is_refused(n: int):
    with pytest.raises(ValueError, match=f"n is {n}, with 3 proxy"):
        expected_of_best([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], n)


def test_gold_falls_where_the_proxy_is_hacked():
    """The proxy is gold plus something that costs gold: the more is chosen, the less is left."""
    rng = np.random.default_rng(0)
    trick = rng.normal(size=(50, 16))
    gold = rng.normal(size=(50, 16)) * 0.3 - trick
    points = best_of_n_curve((gold + 3 * trick).tolist(), gold.tolist())
    assert [point.n for point in points] == [1, 2, 4, 8, 16]
    assert points[-1].proxy.low > points[0].proxy.high
    assert points[-1].gold.high < points[0].gold.low
    assert points[0].as_json()["sqrt_kl"] == 0.0


def scored(prompt: str, place: int, by_principle: dict[str, float], way: str = "draw") -> ScoredAnswer:
    generation = Generation(
        text="text",
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
        model="m",
        sampling=Sampling(),
    )
    return ScoredAnswer.of(Prompt.of(prompt), generation, f"{way}:{place}", by_principle, 1.0, passed=True)


def test_judged_principles_are_the_proxy_and_checks_the_gold():
    constitution = Constitution.model_validate(
        {
            "name": "small",
            "principles": [
                {"id": "kind", "text": "The reply is kind.", "weight": 3},
                {"id": "plain", "text": "The reply is plain."},
                {"id": "short", "text": "The reply is short.", "check": {"kind": "max_words", "value": 12}},
            ],
        }
    )
    samples = []
    for number in range(8):
        samples.append(scored(f"p{number}", 0, {"kind": 0.0, "plain": 0.0, "short": 1.0}))
        samples.append(scored(f"p{number}", 1, {"kind": 1.0, "plain": 0.0, "short": 0.0}))
        samples.append(scored(f"p{number}", 2, {"kind": 1.0, "plain": 1.0, "short": 0.0}, way="prompted"))
    first, second = judged_against_checks(samples, constitution, 0)
    assert (first.proxy.value, first.gold.value) == (0.375, 0.5)
    assert (second.proxy.value, second.gold.value) == (0.75, 0.0)
    assert judged_against_checks(samples[:9], constitution, 0) == ()  # three prompts
    assert judged_against_checks([scored("p", 0, {"short": 1.0})], constitution, 0) == ()


def test_the_course_of_a_training_takes_the_divergence_of_the_step_before():
    rows = [
        {"step": 0, "eval/reward": 0.1, "eval/gold": 0.5, "eval/gold/error": 0.02},
        {"step": 5, "objective/kl": 1.0},
        {"step": 5, "eval/reward": 0.4, "eval/gold": 0.7},
        {"step": 10, "objective/kl": 4.0},
        {"step": 10, "eval/reward": 0.8, "eval/gold": 0.6},
    ]
    found = over_optimization(rows)
    assert [(point.step, point.kl, point.gold) for point in found.points] == [
        (0, 0, 0.5),
        (5, 1, 0.7),
        (10, 4, 0.6),
    ]
    assert found.as_json()["best_gold_step"] == 5
    assert found.as_json()["points"][2]["sqrt_kl"] == 2.0
    assert "gold was highest at step 5 (0.7), and the proxy rose since" in found.line()
    assert over_optimization(rows[:2]) is None
    assert over_optimization([{"step": 1, "objective/kl": 1.0}, {"step": 1, "eval/reward": 1.0}]) is None
