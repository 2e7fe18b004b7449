"""Tests of differences: worked p-values, peers' values, and Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest

from core.statistics.significance import difference_p_values, holm


def test_sign_flips_of_few_values_are_counted_one_by_one():
    assert difference_p_values([[1, 1, 1, 1, 1, 1]], 0) == (2 / 64,)
    assert difference_p_values([[1, 1, 1, 1, 1, -1]], 0) == (2 * 7 / 64,)
    assert difference_p_values([[0.0] * 6], 0) == (1.0,)
    # Only what moved counts: four of ten prompts in one direction.
    assert difference_p_values([[1, 1, 1, 1, 0, 0, 0, 0, 0, 0]], 0) == (2 / 16,)


def test_sign_flips_are_scipy_s_permutation_test():
    from scipy.stats import permutation_test

    draw = np.random.default_rng(0)
    for count in (6, 11):
        row = draw.normal(0.6, 1.0, count)
        theirs = permutation_test((row,), np.sum, permutation_type="samples", n_resamples=np.inf)
        assert difference_p_values([row.tolist()], 0)[0] == pytest.approx(theirs.pvalue, abs=1e-12)


def test_above_200_values_it_is_student_s_t_test_which_sign_flips_approach():
    from scipy.stats import ttest_1samp

    rows = np.random.default_rng(0).normal(0.1, 1.0, (3, 201))
    theirs = ttest_1samp(rows, 0.0, axis=1).pvalue
    assert difference_p_values(rows.tolist(), 0) == pytest.approx(theirs)
    assert difference_p_values(rows[:, :200].tolist(), 0) == pytest.approx(
        ttest_1samp(rows[:, :200], 0.0, axis=1).pvalue, abs=0.02
    )
    assert difference_p_values([[1.0] * 201, [0.0] * 201], 0) == (0.0, 1.0)


def test_random_sign_flips_come_close_to_all_of_them():
    from scipy.stats import binomtest

    row = [1.0] * 15 + [-1.0] * 5
    assert difference_p_values([row], 0)[0] == pytest.approx(binomtest(5, 20).pvalue, rel=0.1)
    assert difference_p_values([[1.0] * 29], 0)[0] == pytest.approx(1 / 20_001)


def test_holm_multiplies_by_the_number_of_hypotheses_left():
    # 6 x 0.005, not less for the second of them, 4 x 0.01, 3 x 0.03, not less for 2 x 0.04, 0.5
    assert holm([0.01, 0.04, 0.03, 0.005, 0.5, 0.005]) == pytest.approx([0.04, 0.09, 0.09, 0.03, 0.5, 0.03])
    assert holm([0.01, 0.02, 0.9]) == pytest.approx([0.03, 0.04, 0.9])
    assert holm([]) == []
