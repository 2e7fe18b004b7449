"""How far scores go by length: correlations by hand, and pairs sorted by which answer is the longer one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from core.records import Metric
from evaluation.reward.length_probe import is_matched, length_bias, pearson, probe_length, spearman
from evaluation.reward.metrics import ScoredPair
from tests.evaluation.reward.scored_pairs import pair_of, random_pairs, swapped


def counting_words(count: int) -> list[ScoredPair]:
    """Pairs of a model whose reward is the length, half of them with the shorter answer the better one."""
    generator = np.random.default_rng(0)
    pairs = []
    for number in range(count):
        short, long = sorted(generator.integers(10, 100, 2).tolist())
        first, second = (short, long + 1) if number % 2 else (long + 1, short)
        pairs.append(ScoredPair(str(number), first / 10, second / 10, 0.9, first, second))
    return pairs


def sparing_words(count: int) -> list[ScoredPair]:
    """The same pairs under a model whose reward is the length with its sign turned."""
    return [
        dataclasses.replace(pair, chosen_reward=-pair.chosen_reward, rejected_reward=-pair.rejected_reward)
        for pair in counting_words(count)
    ]


def test_correlations_are_those_of_scipy():
    generator = np.random.default_rng(0)
    x = generator.normal(size=50)
    y = np.round(x + generator.normal(size=50))
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_correlation_with_a_constant_has_no_value():
    assert pearson(np.ones(3), np.arange(3.0)) is None
    assert spearman(np.arange(3.0), np.ones(3)) is None
    assert pearson(np.array([]), np.array([])) is None


def test_correlation_of_huge_rewards_does_not_overflow():
    assert pearson(1e200 * np.arange(4), np.arange(4.0)) == pytest.approx(1)


def test_a_model_that_counts_words_is_seen():
    probe = probe_length(counting_words(200))
    assert probe.pearson == pytest.approx(1)
    assert probe.spearman == pytest.approx(1)
    assert probe.within_pairs == pytest.approx(1)
    assert (probe.shorter_better.value, probe.shorter_better.n) == (0, 100)
    assert (probe.longer_better.value, probe.longer_better.n) == (1, 100)
    assert probe.longer_rule.value == 0.5
    assert length_bias(probe) == "longer"


def test_a_model_that_spares_words_is_seen_too():
    probe = probe_length(sparing_words(200))
    assert probe.spearman == pytest.approx(-1)
    assert (probe.shorter_better.value, probe.longer_better.value) == (1, 0)
    assert length_bias(probe) == "shorter"


def test_scores_without_a_liking_for_length_do_not_go_by_it():
    probe = probe_length(random_pairs(500))
    assert abs(probe.spearman) < 0.1
    assert probe.shorter_better.value > 0.5
    assert length_bias(probe) is None


def test_lengths_that_differ_by_prompt_do_not_correlate_within_pairs():
    # Each prompt has a length and a reward of its own that go together; the answers of a pair do not.
    pairs = [
        ScoredPair(str(n), n + 0.1 * (-1) ** n, float(n), 1.0, 10 * n + 3 * (-1) ** (n // 2), 10 * n)
        for n in range(1, 41)
    ]
    probe = probe_length(pairs)
    assert probe.spearman > 0.99
    assert probe.within_pairs == pytest.approx(0, abs=1e-9)


def test_the_better_answer_decides_which_accuracy_a_pair_is_in():
    pairs = [
        pair_of(1.0, 0.9, tokens=(5, 20)),  # shorter better, right
        pair_of(1.0, 0.1, tokens=(5, 20)),  # longer better, wrong
        pair_of(-1.0, 0.1, tokens=(5, 20)),  # longer better, right
        pair_of(1.0, 0.9, tokens=(10, 10)),  # neither
        pair_of(1.0, 0.5, tokens=(5, 20)),  # a tie is in none
    ]
    probe = probe_length(pairs)
    assert (probe.shorter_better.value, probe.shorter_better.n) == (1, 1)
    assert (probe.longer_better.value, probe.longer_better.n) == (0.5, 2)
    assert (probe.longer_rule.value, probe.longer_rule.n) == ((0 + 1 + 1 + 0.5) / 4, 4)
    assert (probe.matched.value, probe.matched.n) == (1, 1)
    assert probe.answers == 10


@pytest.mark.parametrize(
    ("tokens", "matched"), [((90, 100), True), ((89, 100), False), ((0, 0), True), ((0, 1), False)]
)
def test_answers_are_matched_within_a_tenth_of_the_longer(tokens: tuple[int, int], matched: bool):
    assert is_matched(pair_of(1.0, tokens=tokens)) == matched
    assert is_matched(pair_of(1.0, tokens=tokens[::-1])) == matched


def test_accuracy_without_pairs_is_none():
    probe = probe_length([pair_of(1.0, tokens=(5, 50))])
    assert (probe.longer_better, probe.matched) == (None, None)
    assert length_bias(probe) is None


def test_ties_alone_leave_only_correlations():
    probe = probe_length([pair_of(1.0, 0.5, tokens=(50, 5)), pair_of(2.0, 0.5, tokens=(90, 5))])
    assert (probe.shorter_better, probe.longer_better, probe.longer_rule, probe.matched) == (None,) * 4
    assert probe.pearson > 0.9


def test_difference_within_noise_is_not_going_by_length():
    probe = probe_length(counting_words(200))
    near = dataclasses.replace(
        probe,
        shorter_better=Metric(name="s", value=0.48, low=0.38, high=0.58, n=100),
        longer_better=Metric(name="l", value=0.52, low=0.42, high=0.62, n=100),
    )
    assert length_bias(near) is None
    turned = dataclasses.replace(near, shorter_better=near.longer_better, longer_better=near.shorter_better)
    assert length_bias(turned) is None


def test_swapping_the_answers_changes_nothing():
    pairs = [*random_pairs(60, noise=1.0), pair_of(1.0, 0.5, tokens=(3, 9))]
    one, two = (dataclasses.asdict(probe_length(given)) for given in (pairs, [swapped(p) for p in pairs]))
    for name in ("pearson", "spearman", "within_pairs"):
        assert one.pop(name) == pytest.approx(two.pop(name))
    assert one == two
