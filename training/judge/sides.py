"""Gold labels of one principle: how many of each side there are, and weights that balance both sides.

A reply alone is on one side, fulfilling the principle or breaking it; a pair has a reply on each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from training.judge.choice import FOLDS
from training.judge.probe import GoldLabel

LEAST_OF_A_SIDE = 16
"""Smallest number of gold labels of each side that a probe is trained on."""
LEAST_PROMPTS = FOLDS
"""Smallest number of prompts that they are of: cross-validation is over whole prompts."""


class GoldSide(NamedTuple):
    """Gold labels of one side."""

    labels: int
    prompts: int

    @property
    def suffices(self) -> bool:
        """True if a probe can be trained on them."""
        return self.labels >= LEAST_OF_A_SIDE and self.prompts >= LEAST_PROMPTS


def gold_sides(labels: Sequence[GoldLabel]) -> tuple[GoldSide, GoldSide]:
    """Return the labels of replies that fulfil the principle, and of those that break it; ties are none."""
    fulfilled = [label for label in labels if _is_pair(label) or label.target > 0.5]
    broken = [label for label in labels if _is_pair(label) or label.target < 0.5]
    first, second = (GoldSide(len(own), len({label.group for label in own})) for own in (fulfilled, broken))
    return first, second


def balanced_sides(labels: Sequence[GoldLabel]) -> list[GoldLabel]:
    """Return the labels with weights such that both sides of replies alone have the same total.

    Pairs keep their weights, and so does the total of the replies alone.
    """
    alone = [label for label in labels if label.second is None]
    totals = {
        side: sum(label.weight for label in alone if (label.target > 0.5) == side) for side in (True, False)
    }
    if not all(totals.values()):
        return list(labels)
    total = sum(totals.values())
    return [
        label
        if label.second is not None
        else replace(label, weight=label.weight * total / totals[label.target > 0.5] / 2)
        for label in labels
    ]


def _is_pair(label: GoldLabel) -> bool:
    return label.second is not None and label.target != 0.5
