"""Baselines that a labeler has to beat: rules that read no meaning, and a bag of words fitted on gold labels.

Each baseline prefers an answer of every pair or is undecided, like a labeler. The bag-of-words model is a
ridge classifier (least squares on labels of +1 and -1) on the difference of the two answers' word counts, so
swapping the answers changes its sign and nothing else. It is cross-validated: no pair is predicted by a model
that was fitted on a pair of the same prompt.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from core.digests import derive_uniform
from core.statistics.bootstrap import Floats
from evaluation.judges.gold import GoldPair

_FOLDS = 10
_RIDGE = 1.0
"""Penalty, relative to the mean squared length of the pairs' features."""
_WORD = re.compile(r"\w+")

Leanings = tuple[float, ...]
"""For each pair a number that is positive if `a` is preferred, negative if `b` is, and 0 if neither is."""


def baselines(pairs: Sequence[GoldPair], seed: int) -> Mapping[str, Leanings]:
    """Return the leanings of every baseline on the pairs, by the baseline's name.

    `first` prefers the answer that comes first in the data, or `a`, a side given by a hash, where the data do
    not say. `longest` and `shortest` count characters.
    """
    lengths = [len(p.comparison.response_a) - len(p.comparison.response_b) for p in pairs]
    return {
        "first": tuple(-1.0 if pair.shown_first == "b" else 1.0 for pair in pairs),
        "longest": tuple(float(np.sign(length)) for length in lengths),
        "shortest": tuple(float(-np.sign(length)) for length in lengths),
        "bag of words": bag_of_words(pairs, seed),
    }


def bag_of_words(pairs: Sequence[GoldPair], seed: int) -> Leanings:
    """Return cross-validated predictions of the ridge classifier; 0 for pairs of a fold that is everything.

    Args:
        pairs: gold pairs.
        seed: seed of the folds, to which prompts are assigned by hash.
    """
    if not pairs:
        return ()
    gram, labels = _gram(pairs), np.asarray([pair.sign for pair in pairs], dtype=np.float64)
    folds = np.asarray([int(_FOLDS * derive_uniform(seed, "fold", p.comparison.prompt.id)) for p in pairs])
    found = np.zeros(len(pairs))
    for fold in np.unique(folds):
        held_out = folds == fold
        if not held_out.all():
            found[held_out] = _predicted(gram, labels, held_out)
    return tuple(map(float, found))


def _predicted(gram: Floats, labels: Floats, held_out: np.ndarray) -> Floats:
    """Return the ridge regression's predictions for the pairs that are held out, in its dual form."""
    fitted = gram[np.ix_(~held_out, ~held_out)]
    penalty = _RIDGE * max(float(np.diag(fitted).mean()), 1e-12)
    weights = np.linalg.solve(fitted + penalty * np.eye(len(fitted)), labels[~held_out])
    return np.asarray(gram[np.ix_(held_out, ~held_out)] @ weights)


def _gram(pairs: Sequence[GoldPair]) -> Floats:
    """Return the inner products of all pairs' features, (N, N).

    A pair's feature of a word is the difference of log(1 + count) in its two answers. Words of a single pair
    are ignored: no other pair says anything about them.
    """
    rows = [_features(pair) for pair in pairs]
    seen = Counter(word for row in rows for word in row)
    places = {word: place for place, word in enumerate(word for word, count in seen.items() if count > 1)}
    features = np.zeros((len(pairs), max(1, len(places))), dtype=np.float32)
    for number, row in enumerate(rows):
        for word in row.keys() & places.keys():
            features[number, places[word]] = row[word]
    return np.asarray(features @ features.T, dtype=np.float64)


def _features(pair: GoldPair) -> dict[str, float]:
    """Return the features of a pair that are not 0, by word."""
    a, b = (
        Counter(_WORD.findall(text.lower()))
        for text in (pair.comparison.response_a, pair.comparison.response_b)
    )
    values = {word: math.log1p(a[word]) - math.log1p(b[word]) for word in a.keys() | b.keys()}
    return {word: value for word, value in values.items() if value}
