"""Which features of a question a probe reads, and features in which the reply's length does not show.

Shapes: `R` rows (one question each), `D` width of hidden states, `F` = 2 D + 1 features
(`engines/judge/states.py`): the mean over the reply, the last token, the log of the reply's length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.statistics.bootstrap import Floats
from engines.judge.settings import StatesRead
from training.judge.probe import GoldLabel, Probe, design_of


@dataclass(frozen=True)
class FeatureView:
    """The part of the features that a probe is fitted on, and the way back to all of them.

    Args:
        columns: indices (C,) of the columns that are read.
        slope: (C,) change of each with the log of the reply's length, which is subtracted.
    """

    columns: NDArray[np.intp]
    slope: Floats

    def of(self, features: Floats) -> Floats:
        """Return the columns (R, C) that are read of features (R, F), without what length explains."""
        seen = features[:, self.columns]
        return seen - np.outer(features[:, -1], self.slope) if self.slope.any() else seen

    def whole(self, probe: Probe, width: int) -> Probe:
        """Return a probe for all `width` features that gives the log-odds of one for the columns read.

        Its weight of the log-length makes up for the liking of length in the others.
        """
        weight = np.zeros(width)
        weight[self.columns] = probe.weight
        weight[-1] -= probe.weight @ self.slope
        return Probe(weight, probe.bias)


def view_of(
    features: Floats, labels: Sequence[GoldLabel], reading: StatesRead, *, blind: bool
) -> FeatureView:
    """Return the view of a reading.

    Args:
        features: features (R, F).
        labels: labels whose replies tell how the features change with length: pairs if there are any, whose
            two replies answer the same prompt.
        reading: the part that is read.
        blind: True to remove what the reply's length explains; else the length is one of the columns.
    """
    width = (features.shape[1] - 1) // 2
    columns = np.arange(width) + (width if reading == "end" else 0)
    if reading == "both":
        columns = np.arange(2 * width)
    if not blind:
        columns = np.append(columns, 2 * width)
        return FeatureView(columns, np.zeros(len(columns)))
    return FeatureView(columns, _slope(features, columns, labels))


def _slope(features: Floats, columns: NDArray[np.intp], labels: Sequence[GoldLabel]) -> Floats:
    """Return the least-squares change (C,) of columns with the log-length, among pairs or all replies."""
    pairs = [label for label in labels if label.second is not None]
    changes, _ = design_of(features, pairs or labels)
    if not pairs:
        changes = changes - changes.mean(axis=0)
    length = changes[:, -1]
    total = float(length @ length)
    slope: Floats = length @ changes[:, columns] / total if total > 0 else np.zeros(len(columns))
    return slope
