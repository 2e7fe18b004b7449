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
_MOST_WORDS = 4096
_MOST_FITTED = 4096
"""Most words, and most pairs of a fit: they bound memory and time for any number of gold labels."""
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
    features, labels = _matrix(pairs), np.asarray([pair.sign for pair in pairs], dtype=np.float64)
    folds = np.asarray([int(_FOLDS * derive_uniform(seed, "fold", p.comparison.prompt.id)) for p in pairs])
    found = np.zeros(len(pairs))
    for fold in np.unique(folds):
        held_out = folds == fold
        fitted = np.flatnonzero(~held_out)[:_MOST_FITTED]
        if len(fitted):
            found[held_out] = features[held_out] @ _weights(features[fitted], labels[fitted])
    return tuple(map(float, found))


def _weights(features: Floats, labels: Floats) -> Floats:
    """Return the weight of each word by ridge regression, (W,), solved in the dual form, over pairs."""
    gram = features @ features.T
    penalty = _RIDGE * max(float(np.diag(gram).mean()), 1e-12)
    return np.asarray(features.T @ np.linalg.solve(gram + penalty * np.eye(len(gram)), labels))


def _matrix(pairs: Sequence[GoldPair]) -> Floats:
    """Return the features of all pairs, (N, W).

    A pair's feature of a word is the difference of log(1 + count) in its two answers. Words of a single pair
    are ignored: no other pair says anything about them.
    """
    rows = [_features(pair) for pair in pairs]
    seen = Counter(word for row in rows for word in row)
    # Ties by the word itself: the order of a set of words differs between processes.
    common = sorted((word for word, count in seen.items() if count > 1), key=lambda w: (-seen[w], w))
    places = {word: place for place, word in enumerate(common[:_MOST_WORDS])}
    features = np.zeros((len(pairs), max(1, len(places))))
    for number, row in enumerate(rows):
        for word in row.keys() & places.keys():
            features[number, places[word]] = row[word]
    return features


def _features(pair: GoldPair) -> dict[str, float]:
    """Return the features of a pair that are not 0, by word."""
    a, b = (
        Counter(_WORD.findall(text.lower()))
        for text in (pair.comparison.response_a, pair.comparison.response_b)
    )
    values = {word: math.log1p(a[word]) - math.log1p(b[word]) for word in a.keys() | b.keys()}
    return {word: value for word, value in values.items() if value}
