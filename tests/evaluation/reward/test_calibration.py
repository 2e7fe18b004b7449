"""Temperature and calibration error: known scalings, perfect calibration, and ends of the range."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.reward.calibration import (
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    calibrate,
    calibration_metrics,
    fit_temperature,
    reliability,
)
from evaluation.reward.metrics import cross_entropy
from tests.evaluation.reward.scored_pairs import pair_of, pairs_of, random_pairs, swapped


def odds(count: int = 400) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 2, count)


def soft(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-log_odds))


@pytest.mark.parametrize("scale", [0.05, 0.5, 1.0, 3.0, 40.0])
def test_temperature_recovers_the_scale_of_soft_labels(scale: float):
    assert fit_temperature(scale * odds(), soft(odds())) == pytest.approx(scale, rel=1e-4)


def test_temperature_recovers_the_scale_of_hard_labels_nearly():
    labels = (np.random.default_rng(1).random(20_000) < soft(odds(20_000))).astype(float)
    assert fit_temperature(3 * odds(20_000), labels) == pytest.approx(3, rel=0.05)


def test_no_other_temperature_has_a_lower_cross_entropy():
    margins, labels = odds(), np.random.default_rng(2).random(400)
    best = fit_temperature(margins, labels)
    least = cross_entropy(margins / best, labels).mean()
    others = np.geomspace(LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE, 300)
    assert least <= min(cross_entropy(margins / t, labels).mean() for t in others) + 1e-12


def test_temperature_does_not_depend_on_which_answer_is_called_chosen():
    margins, labels = odds(), np.random.default_rng(2).random(400) ** 0.3
    assert fit_temperature(-margins, 1 - labels) == pytest.approx(fit_temperature(margins, labels))


def test_temperature_heeds_weights():
    margins, labels = np.concatenate([odds(), 5 * odds()]), np.concatenate([soft(odds())] * 2)
    first, second = np.repeat([1.0, 0.0], 400), np.repeat([0.0, 1.0], 400)
    assert fit_temperature(margins, labels, first) == pytest.approx(1, rel=1e-4)
    assert fit_temperature(margins, labels, second) == pytest.approx(5, rel=1e-4)


def test_ties_alone_have_the_highest_temperature():
    assert fit_temperature(odds(), np.full(400, 0.5)) == HIGHEST_TEMPERATURE


def test_scores_that_say_the_contrary_have_the_highest_temperature():
    assert fit_temperature(-odds(), soft(odds())) == HIGHEST_TEMPERATURE


def test_pairs_that_are_all_right_have_the_lowest_temperature():
    assert fit_temperature(odds(), (odds() > 0).astype(float)) == LOWEST_TEMPERATURE


@pytest.mark.parametrize("margins", [[], [0.0], [0.0, 0.0]])
def test_temperature_is_one_where_any_would_do(margins: list[float]):
    assert fit_temperature(np.array(margins), np.full(len(margins), 0.9)) == 1.0


def test_calibration_error_is_the_mean_distance_of_the_bins():
    # 30 pairs at 75 % that are right half the time; 30 at 90 % that are always right: (0.25 + 0.1) / 2.
    margins = np.repeat([math.log(3), math.log(9)], 30)
    labels = np.concatenate([np.tile([0.0, 1.0], 15), np.ones(30)])
    figures = calibration_metrics(margins, labels, np.ones(60))
    assert [(one.predicted, one.label) for one in figures.bins] == [
        pytest.approx((0.75, 0.5)),
        pytest.approx((0.9, 1.0)),
    ]
    assert [one.n for one in figures.bins] == [30, 30]
    assert figures.ece == pytest.approx(0.175)
    # Labels of the first bin have a standard deviation of one half, those of the second none.
    assert figures.ece_by_chance == pytest.approx(math.sqrt(2 / math.pi) * 0.5 / math.sqrt(30) / 2)


def test_soft_labels_that_are_the_probabilities_have_no_error_at_all():
    figures = calibration_metrics(odds(), soft(odds()), np.ones(400))
    assert (figures.ece, figures.ece_by_chance, figures.excess_nll) == pytest.approx((0, 0, 0), abs=1e-12)


def test_well_calibrated_scores_have_an_error_near_zero():
    calibration = calibrate(random_pairs(20_000))
    assert calibration.before.ece < 0.015
    assert calibration.temperature == pytest.approx(1, abs=0.05)


def test_error_by_chance_is_what_perfect_calibration_shows_of_few_pairs():
    found = [calibrate(random_pairs(300, seed=seed)).before for seed in range(40)]
    shown, expected = (
        np.mean([one.ece for one in found]),
        np.mean([one.ece_by_chance for one in found]),
    )
    assert shown == pytest.approx(expected, rel=0.15)


def test_error_by_chance_takes_unequal_weights_into_account():
    found = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        margins = generator.normal(0, 2, 500)
        labels = (generator.random(500) < soft(margins)).astype(float)
        found.append(calibration_metrics(margins, labels, generator.choice([1.0, 20.0], 500, p=[0.9, 0.1])))
    shown, expected = (np.mean([getattr(one, name) for one in found]) for name in ("ece", "ece_by_chance"))
    assert shown == pytest.approx(expected, rel=0.1)


def test_error_by_chance_does_not_depend_on_the_scale_of_the_weights():
    generator = np.random.default_rng(0)
    margins, labels = odds(), generator.random(400).round()
    one, ten = (calibration_metrics(margins, labels, np.full(400, w)).ece_by_chance for w in (1.0, 10.0))
    assert one == pytest.approx(ten)


def test_noise_of_a_bin_has_the_effective_number_of_pairs():
    # Weights 3 and 1 are (3 + 1)^2 / (9 + 1) = 1.6 pairs; the values differ by 1, with deviation 1/2.
    (only,) = reliability(np.zeros(2), np.array([1.0, 0.0]), np.array([3.0, 1.0]))
    assert only.noise == 0  # equal scores prefer neither answer
    (only,) = reliability(np.full(2, 2.0), np.array([1.0, 0.0]), np.array([3.0, 1.0]))
    assert only.noise == pytest.approx(0.5 / math.sqrt(1.6))


def test_scores_that_are_too_sure_are_mended_by_their_temperature():
    calibration = calibrate(random_pairs(5000, scale=4.0))
    assert calibration.temperature == pytest.approx(4, rel=0.1)
    assert calibration.before.ece > 0.1
    assert calibration.after.ece < 0.03
    assert calibration.after.nll < calibration.before.nll
    assert calibration.after.brier < calibration.before.brier


def test_figures_with_temperature_are_not_of_the_pairs_it_was_fitted_on():
    # Labels are drawn from nothing: a temperature fitted on the very pairs never does worse than log 2.
    pairs = [pair_of(margin, float(label), id=str(n)) for n, (margin, label) in enumerate(noise(40))]
    calibrations = [calibrate(pairs[start : start + 40]) for start in range(0, len(pairs), 40)]
    assert np.mean([one.after.nll for one in calibrations]) > math.log(2)


def noise(sets: int) -> list[tuple[float, bool]]:
    generator = np.random.default_rng(0)
    return [(float(generator.normal()), bool(generator.random() < 0.5)) for _ in range(40 * sets)]


def test_one_pair_is_measured_with_temperature_one():
    calibration = calibrate([pair_of(2.0, 0.7)])
    assert calibration.after == calibration.before
    assert calibration.temperature == pytest.approx(2 / math.log(0.7 / 0.3), rel=1e-4)


def test_order_of_pairs_and_answers_has_no_say():
    pairs = [*random_pairs(200), *pairs_of([50.0, 50.0, 50.0, 0.0], [1.0, 0.0, 1.0, 0.8])]
    expected = calibrate(pairs)
    for other in (pairs[::-1], [swapped(pair) for pair in pairs]):
        found = calibrate(other)
        assert found.temperature == pytest.approx(expected.temperature, rel=1e-4)
        assert (found.before.ece, found.after.ece) == pytest.approx((expected.before.ece, expected.after.ece))
        assert [one.n for one in found.before.bins] == [one.n for one in expected.before.bins]


def test_bins_are_of_equal_mass_and_fewer_where_pairs_are_few():
    assert [one.n for one in bins(1500)] == [100] * 15
    assert [one.n for one in bins(90)] == [30] * 3
    assert [one.n for one in bins(7)] == [7]
    assert sum(one.share for one in bins(777)) == pytest.approx(1)


def bins(count: int) -> tuple:
    return reliability(odds(count), soft(odds(count)), np.ones(count))


def test_equal_confidences_share_one_bin():
    assert [one.n for one in reliability(np.full(500, 99.0), np.ones(500), np.ones(500))] == [500]


def test_bins_rise_from_one_half():
    predicted = [one.predicted for one in bins(1500)]
    assert predicted == sorted(predicted)
    assert predicted[0] >= 0.5


def test_equal_scores_stand_at_one_half():
    (only,) = reliability(np.zeros(3), np.array([1.0, 1.0, 0.8]), np.ones(3))
    assert (only.predicted, only.label) == (0.5, 0.5)
