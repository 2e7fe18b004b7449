"""Corrections of a labeler: coefficients, metrics, thresholds, and what is refused."""

from __future__ import annotations

import math

import pytest

from core.errors import DataError
from labelers.correction.fitting import GoldJudgment, fit_correction
from tests.labelers.correction.gold import LABELER, comparison, judged, judgment, options


def test_overconfident_labeler_is_flattened_and_gains():
    found = fit_correction(judged(600), options())
    assert found.scale == pytest.approx(1 / 3, abs=0.07)
    assert found.after.nll < found.before.nll - 0.1
    assert found.after.nll < math.log(2)
    assert found.after.ece <= found.after.ece_noise < found.before.ece
    assert (found.judgments, found.comparisons, found.prompts) == (600, 600, 600)
    assert found.labeler == LABELER
    assert found.threshold is None


def test_liking_for_length_is_removed():
    found = fit_correction(judged(1500, sharpness=1.0, liking=1.0), options())
    assert found.length == pytest.approx(-1.0, abs=0.3)


def test_judgments_of_one_comparison_are_counted_as_one_prompt():
    found = fit_correction(judged(60, principles=("kind", "short")), options())
    assert (found.judgments, found.comparisons, found.prompts) == (120, 60, 60)
    assert set(found.scales) == {"kind", "short"}


def test_unparsed_judgments_are_ignored():
    rows = [*judged(60), GoldJudgment(comparison(99), judgment(comparison(99), None), 1.0)]
    assert fit_correction(rows, options()).judgments == 60


def test_labeler_that_guesses_is_refused():
    rows = judged(300)
    shuffled = [
        GoldJudgment(row.comparison, row.judgment, other.p_a)
        for row, other in zip(rows, rows[7:] + rows[:7], strict=True)
    ]
    with pytest.raises(DataError, match=r"m \(choice\): the labeler carries no information beyond noise"):
        fit_correction(shuffled, options())


def test_labeler_that_is_wrong_throughout_is_refused():
    rows = [GoldJudgment(row.comparison, row.judgment, 1 - row.p_a) for row in judged(300)]
    with pytest.raises(DataError, match="no information"):
        fit_correction(rows, options())


def test_a_liking_for_length_is_no_correction_of_a_labeler_that_knows_nothing():
    # Gold is the shorter answer, and the labeler prefers the longer one: only the length would be left.
    pairs = [comparison(n, *((90, 40) if n % 2 else (30, 70))) for n in range(60)]
    rows = [
        GoldJudgment(one, judgment(one, 0.9 if n % 2 else 0.1), float(not n % 2))
        for n, one in enumerate(pairs)
    ]
    with pytest.raises(
        DataError, match=r"no information beyond noise: on 60 .*; only the lengths of the answers"
    ):
        fit_correction(rows, options())


def test_few_prompts_are_refused():
    with pytest.raises(DataError, match="19 prompts have gold labels"):
        fit_correction(judged(19), options())


def test_threshold_keeps_the_error_below_the_limit():
    found = fit_correction(judged(800), options(max_error=0.2)).threshold
    assert found is not None
    assert 0 < found.abstained < 1
    assert found.error < 0.2
    assert (found.max_error, found.confidence) == (0.2, 0.95)


def test_limit_that_cannot_be_kept_is_refused():
    with pytest.raises(DataError, match=r"--max-error: no threshold keeps the error of labels at 1% or less"):
        fit_correction(judged(60), options(max_error=0.01))
