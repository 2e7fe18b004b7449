"""What probabilities as labels are worth: better probabilities on pairs that were not seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.pairs.soft_labels import SEEDS, both, interval

pytestmark = pytest.mark.slow  # trainings of 50 steps


def test_soft_labels_give_better_probabilities_than_hard_ones(tiny_folder: Path, tmp_path: Path):
    soft, hard = both(str(tiny_folder), tmp_path, seed=0)
    assert soft.log_loss < hard.log_loss
    assert soft.ece < hard.ece


@pytest.mark.long  # ten trainings
def test_soft_labels_give_lower_log_loss_and_calibration_error_than_hard_ones(
    tiny_folder: Path, tmp_path: Path
):
    runs = [both(str(tiny_folder), tmp_path, seed) for seed in range(SEEDS)]
    for name in ("log_loss", "ece"):
        differences = [getattr(soft, name) - getattr(hard, name) for soft, hard in runs]
        mean, low, high = interval(differences)
        means = [sum(getattr(run[side], name) for run in runs) / SEEDS for side in (0, 1)]
        summary = f"{name}: soft {means[0]:.4f} hard {means[1]:.4f} diff {mean:.4f} ({low:.4f} to {high:.4f})"
        assert high < 0, summary
