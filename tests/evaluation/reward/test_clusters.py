"""Reward models on pairs that share prompts: coverage of intervals, and the halves of the calibration."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from evaluation.reward.calibration import calibrate
from evaluation.reward.evaluation import evaluate_reward_model
from evaluation.reward.metrics import ScoredPair, accuracy, mean_metrics

SAMPLES = 8


def pairs_of(draw: np.random.Generator, prompts: int, samples: int = SAMPLES) -> list[ScoredPair]:
    """Return all pairs of a prompt's answers, scored by a reward model that is right about some prompts."""
    found = []
    for prompt in range(prompts):
        quality = draw.normal(size=samples)
        # How well the model follows the quality differs between prompts, and each score has an error.
        scores = draw.normal(0.7, 0.5) * quality + draw.normal(size=samples)
        for one, two in combinations(range(samples), 2):
            p = 0.9 if quality[one] > quality[two] else 0.1
            found.append(
                ScoredPair(
                    f"{prompt} {one} {two}", scores[one], scores[two], p, 10, 10, prompt=f"prompt {prompt}"
                )
            )
    return found


def true_accuracy() -> float:
    """Return the accuracy over all prompts: 1/2 + E[arctan(slope)] / pi, slopes of mean 0.7 and sd 0.5."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return float(0.5 + np.average(np.arctan(0.7 + 0.5 * nodes), weights=weights) / np.pi)


def coverage(prompts: int, runs: int, *, clustered: bool = True) -> float:
    draw, inside, true = np.random.default_rng(prompts), 0, true_accuracy()
    for _ in range(runs):
        pairs = pairs_of(draw, prompts)
        metric = accuracy("a", pairs if clustered else [replace(pair, prompt="") for pair in pairs])
        assert metric is not None
        inside += metric.low <= true <= metric.high
    return inside / runs


def test_interval_of_accuracy_covers_the_true_one_where_pairs_share_prompts():
    assert coverage(20, 100) >= 0.9
    assert coverage(20, 100, clustered=False) <= 0.75  # as if the pairs were independent


@pytest.mark.long
@pytest.mark.parametrize("prompts", [10, 20, 50])
def test_intervals_cover_the_true_accuracy_in_95_percent(prompts: int):
    assert 0.93 <= coverage(prompts, 1_500) <= 0.97


@pytest.mark.long
def test_bootstrap_intervals_cover_the_true_cross_entropy():
    def cross_entropy_of(pairs: list[ScoredPair]) -> float:
        margins, labels = (np.array([getattr(p, name) for p in pairs]) for name in ("margin", "p_chosen"))
        return float(np.mean(np.logaddexp(0, -margins) + (1 - labels) * margins))

    draw, inside = np.random.default_rng(5), 0
    true = cross_entropy_of(pairs_of(np.random.default_rng(99), 10_000))
    for _ in range(300):
        nll, _, _ = mean_metrics(pairs_of(draw, 50), 0)
        inside += nll.low <= true <= nll.high
    assert inside / 300 >= 0.9  # percentile intervals of 50 prompts are slightly too narrow


def copies_of(pairs: list[ScoredPair], times: int) -> list[ScoredPair]:
    """Return each pair several times under one prompt; the first copy has the pair's own id."""
    return [
        replace(pair, id=pair.id + "+" * copy, prompt=f"prompt of {pair.id}")
        for pair in pairs
        for copy in range(times)
    ]


def test_copies_of_a_pair_under_its_prompt_change_no_metric_and_no_interval():
    pairs = [replace(pair, prompt="") for pair in pairs_of(np.random.default_rng(2), 400, 2)]
    one, five = evaluate_reward_model(pairs), evaluate_reward_model(copies_of(pairs, 5))
    independent = evaluate_reward_model([replace(pair, prompt="") for pair in copies_of(pairs, 5)])
    for name in ("accuracy", "nll", "excess_nll", "brier"):
        ours, copied, narrow = (getattr(found, name) for found in (one, five, independent))
        assert copied.value == pytest.approx(ours.value)
        assert copied.high - copied.low == pytest.approx(ours.high - ours.low, rel=0.02)
        assert narrow.high - narrow.low < 0.6 * (ours.high - ours.low)
    # Cross-fitted: no copy of a pair is measured with a temperature that was fitted on another copy.
    assert five.calibration.after.nll == pytest.approx(one.calibration.after.nll)
    length, copied_length = one.length.longer_rule, five.length.longer_rule
    assert copied_length.high - copied_length.low == pytest.approx(length.high - length.low, rel=0.02)


def test_error_by_chance_takes_pairs_of_one_prompt_into_account():
    pairs = [replace(pair, prompt="") for pair in pairs_of(np.random.default_rng(3), 60, 2)]
    copied = copies_of(pairs, 5)  # as many bins with and without prompts
    shared = calibrate(copied).before.ece_by_chance
    alone = calibrate([replace(pair, prompt="") for pair in copied]).before.ece_by_chance
    assert alone * 2 < shared < alone * 2.6  # about sqrt(5)


def test_prompt_with_one_pair_is_in_the_half_of_that_pair():
    pairs = pairs_of(np.random.default_rng(4), 200, 2)
    without = [replace(pair, prompt="") for pair in pairs]
    assert calibrate(pairs) == calibrate(without)
