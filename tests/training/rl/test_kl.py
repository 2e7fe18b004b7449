"""Estimators of the divergence, and the controller of its price."""

from __future__ import annotations

import math

import pytest
import torch

from training.rl.kl import KLController, k1, k2, k3

POLICY = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
REFERENCE = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64)
LOGRATIOS = (POLICY / REFERENCE).log()
EXACT = float((POLICY * LOGRATIOS).sum())


def test_k1_and_k3_are_right_on_average_over_a_small_vocabulary():
    for estimator in (k1, k3):
        assert float((POLICY * estimator(LOGRATIOS)).sum()) == pytest.approx(EXACT, rel=1e-12)


def test_k2_is_right_where_the_two_are_close_and_biased_where_they_are_not():
    nearby = POLICY + torch.tensor([0.001, -0.002, 0.001])
    logratios = (POLICY / nearby).log()
    exact = float((POLICY * logratios).sum())
    assert float((POLICY * k2(logratios)).sum()) == pytest.approx(exact, rel=0.01)
    assert abs(float((POLICY * k2(LOGRATIOS)).sum()) - EXACT) > 0.004


def test_k2_and_k3_are_never_negative_and_k1_is():
    assert k1(LOGRATIOS).min() < 0
    assert min(k2(LOGRATIOS).min(), k3(LOGRATIOS).min()) > 0
    for estimator in (k1, k2, k3):
        assert estimator(torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def test_k3_varies_less_than_k1():
    spread = [float((POLICY * (e(LOGRATIOS) - EXACT).square()).sum()) for e in (k1, k3)]
    assert spread[1] < spread[0]


@pytest.mark.parametrize(
    ("kl", "expected"),
    [
        (6.0, 0.1),  # on target
        (6.6, 0.1 * 1.01),  # a tenth above
        (60.0, 0.1 * 1.02),  # far above counts as a fifth
        (0.0, 0.1 * 0.98),
    ],
)
def test_controller_moves_the_coefficient_as_ziegler_has_it(kl: float, expected: float):
    controller = KLController(0.1, target=6.0, rate=0.1)
    controller.update(kl)
    assert controller.coefficient == pytest.approx(expected, rel=1e-12)


def test_without_a_target_the_coefficient_stays():
    controller = KLController(0.1)
    controller.update(1000.0)
    assert controller.coefficient == 0.1


def test_controller_settles_where_the_divergence_answers_to_its_price():
    controller = KLController(0.001, target=4.0, rate=0.1)
    for _ in range(500):
        controller.update(kl=1 / (10 * controller.coefficient))
    assert math.isclose(1 / (10 * controller.coefficient), 4.0, rel_tol=0.02)
