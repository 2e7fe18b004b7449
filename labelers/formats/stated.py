"""What the user says of a file of labels that it does not say itself, and which of its aspects are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from labelers.formats.opinions import Opinion, Pair, Side
from labelers.formats.source import RowLabels, Skipped


class OfAspects(NamedTuple):
    """The labels of a row in the wanted aspects, and the others."""

    labels: RowLabels
    others: tuple[Skipped, ...]
    """One entry for each aspect that is left out."""


@dataclass(frozen=True)
class Stated:
    """Statements of the user about all labels of a file."""

    shown_first: Side | None = None
    """The answer that people saw first, wherever the file does not record it."""
    model: str | None = None
    """The model that gave the labels, wherever the file does not name one; None for people."""
    aspects: Sequence[str] = ()
    """The aspects whose labels are wanted; empty for all."""

    def applied(self, labels: RowLabels) -> OfAspects:
        """Return the labels of a row with what the user says of them."""
        others: dict[str, None] = {}
        kept = list[Pair]()
        for pair in labels.pairs:
            wanted = [one for one in pair.opinions if self._wants(one.dimension)]
            others |= dict.fromkeys(
                one.dimension or "none" for one in pair.opinions if not self._wants(one.dimension)
            )
            if wanted or not pair.opinions or not self.aspects:
                kept.append(replace(pair, opinions=tuple(map(self._stated, wanted))))
        skipped = tuple(part for part in labels.skipped if part.aspect is None or self._wants(part.aspect))
        if labels.pairs and not kept:
            skipped = (*skipped, Skipped(f"no label of the aspect {' or '.join(self.aspects)}"))
        left_out = tuple(Skipped(f"another aspect: {name}") for name in others)
        return OfAspects(replace(labels, pairs=tuple(kept), skipped=skipped), left_out)

    def _wants(self, aspect: str | None) -> bool:
        return not self.aspects or (aspect is not None and _folded(aspect) in map(_folded, self.aspects))

    def _stated(self, opinion: Opinion) -> Opinion:
        said = {
            "shown_first": opinion.shown_first or self.shown_first,
            "model": opinion.model or self.model,
        }
        return opinion.model_copy(update=said)


def _folded(aspect: str) -> str:
    return " ".join(aspect.casefold().replace("-", " ").replace("_", " ").split())
