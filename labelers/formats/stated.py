"""What the user says of a file of labels that it does not say itself, and which of its aspects are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from core.records import Judgment
from core.text.names import folded_aspect
from labelers.crowd.votes import MACHINES
from labelers.formats.opinions import Exported, Opinion, Pair, Side
from labelers.formats.source import RowLabels, Skipped

ANOTHER_ASPECT = "another aspect: "
"""Beginning of why a label is left out that is of an aspect which is not wanted; its name follows."""
NO_ASPECT = "no aspect is named"
"""Why a label is left out that is of no aspect."""
NO_WANTED_ASPECT = "no label of an aspect that --aspect names"
"""Why a row is dropped whose labels are all left out."""


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
        """Return the labels of a row with what the user says of them, records that Publius exported too."""
        others: dict[str | None, None] = {}
        kept = list[Pair]()
        for pair in labels.pairs:
            restored = () if pair.exported is None else pair.exported.judgments
            aspects = [*(one.dimension for one in pair.opinions), *(one.dimension for one in restored)]
            others |= dict.fromkeys(aspect for aspect in aspects if not self._wants(aspect))
            if not aspects or any(map(self._wants, aspects)):
                kept.append(self._of(pair))
        skipped = tuple(part for part in labels.skipped if part.aspect is None or self._wants(part.aspect))
        if labels.pairs and not kept:
            skipped = (*skipped, Skipped(NO_WANTED_ASPECT, " or ".join(self.aspects)))
        left_out = tuple(Skipped(f"{ANOTHER_ASPECT}{name}" if name else NO_ASPECT) for name in others)
        return OfAspects(replace(labels, pairs=tuple(kept), skipped=skipped), left_out)

    def _wants(self, aspect: str | None) -> bool:
        wanted = map(folded_aspect, self.aspects)
        return not self.aspects or (aspect is not None and folded_aspect(aspect) in wanted)

    def _of(self, pair: Pair) -> Pair:
        """Return a pair with the wanted labels, and with what the user says of them."""
        opinions = tuple(self._stated(one) for one in pair.opinions if self._wants(one.dimension))
        if pair.exported is None:
            return replace(pair, opinions=opinions)
        restored = (self._restored(one) for one in pair.exported.judgments if self._wants(one.dimension))
        return replace(pair, opinions=opinions, exported=Exported(pair.exported.comparison, tuple(restored)))

    def _stated(self, opinion: Opinion) -> Opinion:
        said = {
            "shown_first": opinion.shown_first or self.shown_first,
            "model": opinion.model or self.model,
        }
        return opinion.model_copy(update=said)

    def _restored(self, judgment: Judgment) -> Judgment:
        """Return an exported judgment with what the user says of it; machines have said it themselves.

        `a` was exported as the first answer. The judgment keeps its id, by which others refer to it.
        """
        if judgment.labeler in MACHINES:
            return judgment
        first = None if self.shown_first is None else "a" if self.shown_first == "first" else "b"
        said = {"shown_first": judgment.shown_first or first, "model": judgment.model or self.model}
        return judgment.model_copy(update=said)
