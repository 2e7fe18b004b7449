"""Figures of a trained judge: labels of one prompt are alike, so they are worth fewer trials."""

from __future__ import annotations

import numpy as np

from publius.models.judges.figures import figures_by_kind
from training.judge.probe import GoldLabel


def test_labels_of_one_prompt_make_the_interval_wider():
    scores = np.array([1.0, 1.0, 1.0, 1.0, -1.0, -1.0] * 4)
    alone = [GoldLabel(n, n + 1, 1.0, f"prompt {n}", "pairs") for n in range(24)]
    shared = [GoldLabel(n, n + 1, 1.0, f"prompt {n // 2}", "pairs") for n in range(24)]
    one, other = (figures_by_kind(labels, scores)["pairs"] for labels in (alone, shared))
    assert one.accuracy == other.accuracy == 2 / 3
    assert other.low < one.low
    assert one.high < other.high
