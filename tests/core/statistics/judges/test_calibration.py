"""Fits of a judge's log-odds: known coefficients, symmetry, shrinkage, and cross-validation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.errors import DataError
from core.statistics.judges.calibration import LogitCorrection, cross_validated, fit_logits
from core.statistics.judges.gold import GoldLogits, chance_of, log_loss
from tests.core.statistics.judges.simulated import biased_labels, calibration_gain


def drawn(logits: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return gold labels that are true with exactly these log-odds."""
    return (np.random.default_rng(seed).random(len(logits)) < chance_of(logits)).astype(float)


def liking_for_length(labels: GoldLogits) -> float:
    """The slope of the judge's log-odds on length at equal gold."""
    terms = np.stack([2 * labels.gold - 1, labels.lengths], axis=1)
    return float(np.linalg.lstsq(terms, labels.logits, rcond=None)[0][1])


def test_temperature_of_an_overconfident_judge_is_found():
    truth = np.random.default_rng(1).normal(0, 2, 4000)
    found = fit_logits(GoldLogits(3 * truth, drawn(truth)))
    assert found.temperature == pytest.approx(3, rel=0.08)
    assert (found.length, found.slot, found.bias) == (0, 0, 0)


def test_fit_is_the_minimum_of_the_penalised_cross_entropy():
    labels = biased_labels(80, np.random.default_rng(3))
    found = fit_logits(labels)

    def objective(scale: float, length: float) -> float:
        z = scale * labels.logits + length * labels.lengths
        sizes = [np.square(column).mean() for column in (labels.logits, labels.lengths)]
        penalty = (scale**2 * sizes[0] + length**2 * sizes[1]) / (2 * 2.5**2)
        return float(log_loss(z, labels.gold).sum() + penalty)

    best, liking = objective(found.scale, found.length), liking_for_length(labels)
    near = [(found.scale + a, found.length + b) for a in (-0.02, 0.0, 0.02) for b in (-0.05, 0.0, 0.05)]
    near += [(found.scale + a, found.length - liking * a) for a in (-0.02, 0.02)]
    allowed = [
        (s, c) for s, c in near if -s * liking - 1e-9 <= c <= 0 and (s, c) != (found.scale, found.length)
    ]
    assert len(allowed) >= 4
    assert all(objective(scale, length) > best for scale, length in allowed)


def test_liking_for_length_is_removed_where_gold_has_none():
    labels = biased_labels(40_000, np.random.default_rng(5))
    found = fit_logits(labels)
    # The judge's log-odds are 3 (m + noise) + 3 x: length enters with the same factor as the margin.
    assert found.length == pytest.approx(-3 * found.scale, rel=0.1)


def test_liking_for_length_is_never_added():
    generator = np.random.default_rng(6)
    margin, lengths = generator.normal(0, 1, 2000), generator.normal(0, 1, 2000)
    likes_it_too = GoldLogits(margin + 0.5 * lengths, drawn(margin + 2 * lengths), lengths=lengths)
    assert fit_logits(likes_it_too).length == 0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_opposite_liking_is_never_added(sign: float):
    """Log-odds that follow length and say nothing else do not become the rule of the other length."""
    generator = np.random.default_rng(9)
    lengths = generator.normal(0, 1, 90)
    logits = sign * 0.03 * lengths + generator.normal(0, 0.02, 90)
    labels = GoldLogits(logits, (sign * lengths < 0).astype(float), lengths=lengths)
    found, liking = fit_logits(labels), liking_for_length(labels)
    assert abs(found.length) <= abs(found.scale * liking) + 1e-9
    assert log_loss(cross_validated(labels), labels.gold).mean() > 0.6  # 0.1 if the gold's liking were added


def test_no_length_is_left_where_the_judge_says_nothing_about_gold():
    lengths = np.random.default_rng(8).normal(0, 1, 200)
    prefers_longer = GoldLogits(2 * lengths, (lengths < 0).astype(float), lengths=lengths)
    found = fit_logits(prefers_longer)
    assert (found.scale, found.length, found.slot) == (0, 0, 0)
    assert not found.applied_to(prefers_longer).any()


def test_liking_for_the_first_slot_is_removed():
    generator = np.random.default_rng(7)
    margin, slots = generator.normal(0, 2, 3000), generator.choice([-1.0, 1.0], 3000)
    found = fit_logits(GoldLogits(margin + 1.5 * slots, drawn(margin), slots=slots))
    assert found.slot == pytest.approx(-1.5, abs=0.2)


def test_swapping_the_answers_turns_the_sign_of_the_corrected_log_odds():
    labels = biased_labels(200, np.random.default_rng(8))
    turned = GoldLogits(-labels.logits, 1 - labels.gold, lengths=-labels.lengths)
    one, two = fit_logits(labels), fit_logits(turned)
    assert two.applied_to(turned) == pytest.approx(-one.applied_to(labels), abs=1e-4)


def test_bias_is_fitted_where_yes_and_no_are_not_symmetric():
    truth = np.random.default_rng(9).normal(0, 2, 3000)
    assert fit_logits(GoldLogits(truth + 1, drawn(truth)), bias=True).bias == pytest.approx(-1, abs=0.15)


def test_judge_that_opposes_gold_has_scale_0():
    truth = np.random.default_rng(10).normal(0, 2, 500)
    found = fit_logits(GoldLogits(-truth, drawn(truth)))
    assert found.scale == 0
    assert found.temperature == math.inf
    assert found.apply(truth) == pytest.approx(np.zeros(500))


def test_perfectly_separated_labels_have_a_finite_temperature():
    logits = np.linspace(-1, 1, 12)
    found = fit_logits(GoldLogits(logits, (logits > 0).astype(float)))
    assert 1 < found.scale < 10


def test_principle_with_enough_gold_has_its_own_temperature_shrunk_to_the_labelers():
    generator = np.random.default_rng(11)
    truth = generator.normal(0, 2, 1100)
    sharp = np.arange(1100) < 400
    few = np.arange(1100) >= 1080
    names = np.where(few, "few", np.where(sharp, "sharp", "plain")).tolist()
    logits = np.where(sharp, 6, 1) * truth
    found = fit_logits(GoldLogits(logits, drawn(truth), principles=names))
    assert set(found.scales) == {"sharp", "plain"}
    assert found.scales["sharp"] < found.scale < found.scales["plain"]
    assert found.apply(np.array([1.0]), principles=["few"]) == pytest.approx(found.scale)


def test_correction_gains_where_the_judge_is_overconfident():
    gain = calibration_gain(200, seed=0)
    assert gain["nll, corrected"] < min(math.log(2), gain["nll, raw"] - 0.2)
    assert gain["ece, corrected"] <= gain["ece, noise band"] < gain["ece, raw"]


def test_labels_of_one_prompt_are_never_fitted_and_measured_together():
    # Two prompts with opposite gold: fitted on the other one, the log-odds are worth nothing.
    logits = np.tile([-1.0, 1.0], 20)
    gold = np.concatenate([(logits[:20] > 0), (logits[20:] < 0)]).astype(float)
    labels = GoldLogits(logits, gold, clusters=[0] * 20 + [1] * 20)
    corrected = cross_validated(labels)
    assert corrected[:20] == pytest.approx(np.zeros(20))  # fitted on the prompt that opposes it
    assert corrected[20:] * logits[20:] == pytest.approx(np.abs(corrected[20:]))


def test_gold_of_one_prompt_cannot_be_cross_validated():
    with pytest.raises(DataError, match="one prompt"):
        cross_validated(GoldLogits(np.ones(3), np.ones(3), clusters=["p"] * 3))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"logits": [], "gold": []}, "found 0 logits"),
        ({"logits": [1.0], "gold": [1.0, 0.0]}, "1 logits, 2 gold"),
        ({"logits": [math.nan], "gold": [1.0]}, "not finite"),
        ({"logits": [1.0], "gold": [1.5]}, "outside"),
    ],
)
def test_invalid_gold_is_refused(columns, message: str):
    with pytest.raises(DataError, match=message):
        GoldLogits(**{name: np.array(values) for name, values in columns.items()})


def test_correction_without_coefficients_changes_nothing():
    assert LogitCorrection().apply(np.array([0.3, -2.0])) == pytest.approx([0.3, -2.0])
