"""Hidden states of gold questions, each computed once and stored in the judge's folder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from core.digests import digest
from core.notices import note
from core.progress import progress, shown_time
from core.statistics.bootstrap import Floats
from core.store.vectors import Vector, VectorStore
from engines.judge.model import StateSource
from engines.judge.rows import QuestionRow

_AT_ONCE = 64
"""Questions between two writes of hidden states."""
_WORTH_SAYING_S = 60.0
"""Expected seconds for the rest from which they are named."""


def read_features(
    source: StateSource, rows: Mapping[int, QuestionRow], layers: Sequence[int], store: VectorStore
) -> dict[int, Floats]:
    """Return the features (R, F) by layer; row R of a question is its number.

    Args:
        source: the model.
        rows: the questions by their number.
        layers: the layers to read.
        store: has the features of earlier trainings, and gets those that are new.
    """
    keys = {
        number: digest(source.identity, list(row.ids), row.start, row.stop) for number, row in rows.items()
    }
    wanted = [f"{key} {layer}" for key in keys.values() for layer in layers]
    known = store.get(wanted)
    missing = [n for n, key in keys.items() if any(f"{key} {layer}" not in known for layer in layers)]
    # Questions about one reply are neighbours in this order and share the computation of their beginning.
    missing.sort(key=lambda number: rows[number])
    with progress("hidden states", len(rows), done=len(rows) - len(missing)) as task:
        started, tokens = time.monotonic(), sum(len(rows[number].ids) for number in missing)
        for start in range(0, len(missing), _AT_ONCE):
            if start == _AT_ONCE:
                read = sum(len(rows[number].ids) for number in missing[:start])
                _note_rest(len(missing) - start, (tokens - read) / read * (time.monotonic() - started))
            some = missing[start : start + _AT_ONCE]
            found = source.reader.read([rows[number] for number in some], layers).numpy()
            new: dict[str, Vector] = {
                f"{keys[number]} {layer}": found[i, j]
                for i, number in enumerate(some)
                for j, layer in enumerate(layers)
            }
            store.put(new)
            known |= new
            task.advance(len(some))
    size = max(rows) + 1
    width = len(next(iter(known.values())))
    features = {layer: np.zeros((size, width)) for layer in layers}
    for number, key in keys.items():
        for layer in layers:
            features[layer][number] = known[f"{key} {layer}"]
    return features


def _note_rest(states: int, seconds: float) -> None:
    """Log how long the other hidden states take, as measured on the first ones."""
    if seconds >= _WORTH_SAYING_S:
        note(f"hidden states: about {shown_time(seconds)} for the other {states:,}, saved as they are read")
