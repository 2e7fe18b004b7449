"""Errors of clustered means: peers' values, identities, and extremes."""

from __future__ import annotations

import numpy as np
import pytest

from core.statistics.bootstrap import wilson
from core.statistics.clusters import clustered_error, design_effect, effective_trials


def ones(count: int) -> np.ndarray:
    return np.ones(count)


def test_clustered_error_is_inspect_ai_s():
    values = np.arange(20.0)
    assert clustered_error(values, ones(20), [i % 4 for i in range(20)]) == pytest.approx(0.645, abs=5e-4)
    assert clustered_error(np.array([1.0, 1, 0, 0]), ones(4), "aabb") == pytest.approx(0.5)
    assert clustered_error(values, ones(20), range(20)) == pytest.approx(values.std(ddof=1) / 20**0.5)


def test_clustered_error_is_miller_s_equation_4_with_the_correction_for_few_clusters():
    draw = np.random.default_rng(0)
    clusters = np.repeat(np.arange(40), 3)
    values = draw.normal(size=120) + draw.normal(size=40)[clusters]
    off = values - values.mean()
    products = [off[i] * off[j] for i in range(120) for j in range(120) if clusters[i] == clusters[j]]
    expected = (sum(products) * 40 / 39) ** 0.5 / 120
    assert clustered_error(values, ones(120), clusters.tolist()) == pytest.approx(expected)
    assert clustered_error(values, 3 * ones(120), clusters.tolist()) == pytest.approx(expected)


def test_copies_of_a_pair_are_worth_one_pair():
    draw = np.random.default_rng(1)
    values = draw.integers(2, size=500).astype(float)
    alone = effective_trials(values, ones(500), range(500))
    copied = effective_trials(np.repeat(values, 7), ones(3500), np.repeat(np.arange(500), 7).tolist())
    assert alone == pytest.approx(500)
    assert copied == pytest.approx(500, rel=0.01)  # less the factor of a t interval of 500 clusters
    effect = design_effect(np.repeat(values, 7), ones(3500), np.repeat(np.arange(500), 7).tolist())
    assert effect == pytest.approx(7, rel=0.01)


def test_without_clusters_it_is_kish_s_sample_size():
    weights = np.array([1.0, 20.0, 1.0, 5.0])
    found = effective_trials(np.array([1.0, 0, 0, 1]), weights, "abcd")
    assert found == pytest.approx(27**2 / (weights @ weights))


def test_values_that_do_not_vary_count_once_per_cluster():
    assert effective_trials(ones(12), ones(12), [i // 4 for i in range(12)]) == pytest.approx(3)
    assert effective_trials(ones(4), ones(4), "aaaa") == pytest.approx(1)
    assert effective_trials(np.array([1.0, 0, 1, 0]), ones(4), "aaaa") == pytest.approx(1)
    assert wilson(1.0, 3).low < 0.5


def test_pairs_of_a_prompt_that_differ_do_not_count_for_more_than_as_many_prompts():
    values, clusters = np.tile([0.0, 1.0], 200), np.repeat(np.arange(200), 2).tolist()
    assert design_effect(values, ones(400), clusters) == 1.0
    assert effective_trials(values, ones(400), clusters) == pytest.approx(400, rel=0.02)
