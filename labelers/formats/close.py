"""Leave out pairs of answers whose scores differ by little.

A rating of 4 against one of 5 may be noise, and ties are no preference. The smallest difference that counts
is on the scale of the source. A ranking, or a verdict without scores, has no difference and is left out too:
it is not known to be large enough.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import NamedTuple

from labelers.formats.opinions import Opinion, Pair, training_weight
from labelers.formats.source import RowLabels, Skipped

_NO_DIFFERENCE = "no score difference, which --min-margin asks for"
_EXPORTED = "records that Publius exported: --min-margin is for the import that makes them"


class FarApart(NamedTuple):
    """The labels of a row whose score differences are large enough, and the others."""

    labels: RowLabels
    close: tuple[Skipped, ...]
    """One entry for each opinion that is left out."""


def without_close_pairs(labels: RowLabels, least: float) -> FarApart:
    """Return the labels of a row without the opinions whose score difference is smaller than `least`.

    The pairs of a ranking that remain share its weight, so that they sum to 1 again. A row that had pairs and
    has none left is dropped for that reason, whatever else was skipped of it.
    """
    skipped, kept = list[Skipped](), list[Pair]()
    for pair in labels.pairs:
        if pair.exported is not None:
            skipped.append(Skipped(_EXPORTED))
            continue
        reasons = [_too_close(opinion, least) for opinion in pair.opinions]
        skipped += [reason for reason in reasons if reason is not None]
        far = [one for one, reason in zip(pair.opinions, reasons, strict=True) if reason is None]
        if far:
            kept.append(replace(pair, opinions=tuple(far)))
    why = labels.skipped
    if skipped and not kept:
        none = all(part.reason == _NO_DIFFERENCE for part in skipped)
        too_close = f"no pair with a score difference of at least {least:g}"
        why = (Skipped(_NO_DIFFERENCE if none else too_close), *why)
    return FarApart(replace(labels, pairs=_shared_anew(kept), skipped=why), tuple(skipped))


def _too_close(opinion: Opinion, least: float) -> Skipped | None:
    """Return why an opinion is left out, or None."""
    if opinion.margin is None:
        return Skipped(_NO_DIFFERENCE)
    if abs(opinion.margin) >= least:
        return None
    return Skipped(f"a score difference below {least:g}")


def _shared_anew(pairs: list[Pair]) -> tuple[Pair, ...]:
    """Return the pairs with the weights of the rankings that are left."""
    left = Counter(opinion.group for pair in pairs for opinion in pair.opinions)

    def shared(opinion: Opinion) -> Opinion:
        weight = opinion.weight if opinion.group is None else 1 / left[opinion.group]
        return opinion.model_copy(update={"weight": weight})

    found = []
    for pair in pairs:
        rankings = [left[opinion.group] for opinion in pair.opinions if opinion.group is not None]
        weight = training_weight(max(rankings)) if rankings else pair.weight
        found.append(replace(pair, opinions=tuple(map(shared, pair.opinions)), weight=weight))
    return tuple(found)
