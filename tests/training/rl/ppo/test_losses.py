"""PPO's losses: each case of clipping, by worked numbers and by gradient."""

from __future__ import annotations

import math

import pytest
import torch

from training.rl.kl import ratio_of
from training.rl.ppo.losses import policy_losses, sampler_weights, value_losses

CLIP = 0.2


def policy(ratio: float, advantage: float) -> tuple[float, bool, float]:
    """Return loss, whether it was clipped, and the gradient for the log-probability."""
    logprobs = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    found = policy_losses(
        logprobs, torch.zeros(1, dtype=torch.float64), torch.tensor([advantage], dtype=torch.float64), CLIP
    )
    found.losses.sum().backward()
    assert logprobs.grad is not None
    return found.losses.item(), bool(found.clipped), logprobs.grad.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped"),
    [
        (1.1, 2.0, -2.2, False),
        (1.5, 2.0, -2.4, True),  # already far enough in the right direction
        (0.5, 2.0, -1.0, False),  # it went the wrong way: nothing holds the way back
        (0.5, -2.0, 1.6, True),
        (1.5, -2.0, 3.0, False),
        (0.9, -2.0, 1.8, False),
    ],
)
def test_policy_loss_and_gradient_in_each_case(ratio: float, advantage: float, loss: float, clipped: bool):
    found, was_clipped, gradient = policy(ratio, advantage)
    assert found == pytest.approx(loss, rel=1e-12)
    assert was_clipped is clipped
    assert gradient == pytest.approx(0.0 if clipped else -ratio * advantage, rel=1e-12)


def test_at_equal_policies_the_gradient_is_that_of_plain_policy_gradient():
    logprobs = torch.tensor([-1.0, -2.0], dtype=torch.float64, requires_grad=True)
    advantages = torch.tensor([0.7, -0.3], dtype=torch.float64)
    policy_losses(logprobs, logprobs.detach(), advantages, CLIP).losses.sum().backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([-0.7, 0.3], rel=1e-12)


def test_a_ratio_is_finite_however_far_apart_the_log_probabilities_are():
    ratios = ratio_of(torch.tensor([0.0, -1000.0]), torch.tensor([-1000.0, 0.0]))
    assert ratios.tolist() == pytest.approx([math.exp(20), math.exp(-20)], rel=1e-5)


@pytest.mark.parametrize(
    ("value", "old", "target", "loss", "clipped"),
    [
        (1.1, 1.0, 2.0, 0.81 / 2, False),  # within reach
        (1.9, 1.0, 2.0, 0.64 / 2, True),  # moved further than 0.2: held at 1.2
        (0.5, 1.0, 2.0, 2.25 / 2, False),  # moved away: the larger loss is the free one
    ],
)
def test_value_loss_is_the_larger_of_free_and_held(
    value: float, old: float, target: float, loss: float, clipped: bool
):
    given = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    found = value_losses(given, torch.tensor([old]).double(), torch.tensor([target]).double(), CLIP)
    assert found.losses.item() == pytest.approx(loss, rel=1e-9)
    assert bool(found.clipped) is clipped
    found.losses.sum().backward()
    assert given.grad is not None
    assert given.grad.item() == pytest.approx(0.0 if clipped else value - target, rel=1e-9)


def test_without_a_clip_the_value_goes_anywhere():
    found = value_losses(torch.tensor([9.0]), torch.tensor([1.0]), torch.tensor([2.0]), None)
    assert found.losses.tolist() == [24.5]
    assert not found.clipped.any()


def test_sampler_weights_are_ratios_up_to_the_cap():
    trainer, sampler = torch.tensor([-1.0, -1.0, -1.0]), torch.tensor([-1.0, -0.5, -9.0])
    weights = sampler_weights(trainer, sampler, cap=2.0)
    assert weights.tolist() == pytest.approx([1.0, math.exp(-0.5), 2.0])
