"""Rewards to advantages, by worked numbers and identities."""

from __future__ import annotations

import math

import pytest
import torch

from training.rl.ppo.advantages import explained_variance, gae, token_rewards, whiten

MASK = torch.tensor([[True, True, True], [True, False, False]])
REWARDS = torch.tensor([[1.0, -2.0, 3.0], [0.5, 9.0, 9.0]])
VALUES = torch.tensor([[0.5, 1.0, -1.0], [2.0, 7.0, 7.0]])


def test_score_stands_on_the_last_real_token_and_every_token_pays_for_its_divergence():
    penalties = torch.tensor([[1.0, 0.0, 2.0], [-1.0, 50.0, 50.0]])
    rewards = token_rewards(torch.tensor([10.0, 20.0]), penalties, MASK, kl_coef=0.5)
    assert rewards.tolist() == [[-0.5, 0.0, 9.0], [20.5, 0.0, 0.0]]


def test_gae_by_hand():
    advantages, returns = gae(REWARDS, VALUES, MASK, gamma=0.9, lam=0.5)
    third = 3.0 + 1.0
    second = (-2.0 + 0.9 * -1.0 - 1.0) + 0.45 * third
    first = (1.0 + 0.9 * 1.0 - 0.5) + 0.45 * second
    assert advantages[0].tolist() == pytest.approx([first, second, third])
    assert advantages[1].tolist() == pytest.approx([0.5 - 2.0, 0.0, 0.0])
    assert returns[0].tolist() == pytest.approx([first + 0.5, second + 1.0, third - 1.0])
    assert returns[1].tolist() == pytest.approx([0.5, 0.0, 0.0])


def test_lambda_0_gives_temporal_differences():
    advantages, _ = gae(REWARDS, VALUES, MASK, gamma=0.9, lam=0.0)
    assert advantages[0].tolist() == pytest.approx([1 + 0.9 * 1 - 0.5, -2 + 0.9 * -1 - 1, 3 + 1])


def test_lambda_1_gives_discounted_rewards_less_values_and_returns_without_the_critic():
    advantages, returns = gae(REWARDS, VALUES, MASK, gamma=0.9, lam=1.0)
    sums = [1 + 0.9 * -2 + 0.81 * 3, -2 + 0.9 * 3, 3.0]
    assert returns[0].tolist() == pytest.approx(sums)
    assert advantages[0].tolist() == pytest.approx([s - v for s, v in zip(sums, [0.5, 1, -1], strict=True)])
    _, others = gae(REWARDS, VALUES * 3 + 1, MASK, gamma=0.9, lam=1.0)
    assert torch.allclose(returns, others)


def test_what_stands_behind_the_end_changes_nothing():
    garbage = torch.where(MASK, 0.0, torch.nan)
    clean = gae(REWARDS, VALUES, MASK, 0.9, 0.5)
    dirty = gae(REWARDS + garbage, VALUES + garbage, MASK, 0.9, 0.5)
    for one, other in zip(clean, dirty, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(whiten(REWARDS + garbage, MASK), whiten(REWARDS, MASK))


def test_whitening_is_over_all_real_tokens_of_the_batch():
    white = whiten(REWARDS, MASK)
    real = white[MASK]
    assert float(real.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(real.std(unbiased=False)) == pytest.approx(1.0, abs=1e-6)
    assert white[~MASK].tolist() == [0.0, 0.0]
    mean, variance = 2.5 / 4, (1 + 4 + 9 + 0.25) / 4 - (2.5 / 4) ** 2
    assert float(white[1, 0]) == pytest.approx((0.5 - mean) / math.sqrt(variance), abs=1e-6)


def test_whitening_leaves_one_token_and_equal_ones_finite():
    one = torch.tensor([[True, False]])
    assert whiten(torch.tensor([[3.0, 1.0]]), one).tolist() == [[3.0, 0.0]]
    assert whiten(torch.ones(1, 2), torch.ones(1, 2, dtype=torch.bool)).tolist() == [[0.0, 0.0]]


def test_explained_variance_of_a_perfect_a_constant_and_a_wrong_critic():
    assert explained_variance(REWARDS, REWARDS, MASK) == 1.0
    assert explained_variance(torch.full_like(REWARDS, 5.0), REWARDS, MASK) == pytest.approx(0.0, abs=1e-6)
    assert explained_variance(-REWARDS, REWARDS, MASK) == pytest.approx(-3.0)
    assert math.isnan(explained_variance(VALUES, torch.ones_like(REWARDS), MASK))
