"""Length ratio, distinct word pairs and self-similarity: worked values and coverage."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.drift.diversity import distinct_metrics, self_similarity
from evaluation.drift.length import length_metrics
from evaluation.drift.measured import drift_metrics, drift_series
from tests.evaluation.drift.texts import answer, answers, random_text


def test_the_ratio_is_that_of_the_means_and_its_interval_covers_it():
    rng, inside, trials = np.random.default_rng(0), 0, 200
    for _ in range(trials):
        base = np.exp(rng.normal(4, 0.5, 60))
        ours = base * np.exp(rng.normal(np.log(1.5), 0.4, 60))
        words = {
            "base": {f"p{n}": float(value) for n, value in enumerate(base)},
            "sft": {f"p{n}": float(value) for n, value in enumerate(ours)},
        }
        (metric,) = length_metrics(words)
        assert metric.name == "sft.length.ratio"
        assert metric.value == pytest.approx(ours.mean() / base.mean())
        truth = 1.5 * np.exp(0.4**2 / 2)
        inside += metric.low <= truth <= metric.high
    assert inside / trials >= 0.9


def test_equal_lengths_have_a_ratio_of_one_without_doubt():
    words = {name: {f"p{n}": 10.0 + n for n in range(8)} for name in ("base", "sft")}
    (metric,) = length_metrics(words)
    assert (metric.value, metric.low, metric.high) == (1.0, 1.0, 1.0)


def test_a_variant_that_wrote_nothing_has_no_ratio():
    words = {"base": dict.fromkeys("abcdefgh", 5.0), "sft": dict.fromkeys("abcdefgh", 0.0)}
    assert length_metrics(words) == ()


def test_distinct_pairs_are_counted_over_all_answers_at_equal_length():
    base = {f"p{n}": f"a{n} b{n} c{n} d{n} e{n}" for n in range(6)}  # 4 pairs each, all different
    ours = {f"p{n}": f"we are sorry to x{n}" for n in range(6)}  # 3 shared pairs, 1 of its own
    found = {metric.name: metric for metric in distinct_metrics({"base": base, "sft": ours})}
    assert found["base.distinct_2"].value == 1.0
    assert found["sft.distinct_2"].value == pytest.approx((3 + 6) / 24)
    assert found["sft.distinct_2.delta"].value == pytest.approx(9 / 24 - 1)
    assert found["sft.distinct_2.delta"].p_value < 0.01
    longer = {name: f"{text} {text}" for name, text in base.items()}  # repeats itself after five words
    again = {metric.name: metric for metric in distinct_metrics({"base": base, "sft": longer})}
    assert again["sft.distinct_2"].value == 1.0  # only as many words as the shortest answer has
    assert again["sft.distinct_2.delta"].p_value == 1.0


def test_self_similarity_is_the_mean_over_the_other_answers():
    given = [answer("base", name, text) for name, text in (("p", "a b c"), ("q", "a b d"), ("r", "x y z"))]
    found = self_similarity(given)
    by_text = {one.generation.text: found[one.prompt.id] for one in given}
    assert by_text == {"a b c": pytest.approx(1 / 6), "a b d": pytest.approx(1 / 6), "x y z": 0.0}
    assert self_similarity(given[:1]) == {}


def test_every_variant_has_the_measures_and_base_the_same_prompts():
    rng = np.random.default_rng(0)
    given = answers({v: {f"p{n}": random_text(rng) for n in range(10)} for v in ("base", "sft", "dpo")})
    series = drift_series(given, 0)
    assert {(one.variant, one.measure) for one in series} == {
        (variant, measure)
        for variant in ("base", "sft", "dpo")
        for measure in ("boilerplate", "self_similarity")
    }
    assert all(len(one.values) == 10 for one in series)
    names = {metric.name for metric in drift_metrics(given)}
    assert names == {
        "sft.length.ratio",
        "dpo.length.ratio",
        "base.distinct_2",
        "sft.distinct_2",
        "dpo.distinct_2",
        "sft.distinct_2.delta",
        "dpo.distinct_2.delta",
    }
