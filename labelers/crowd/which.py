"""Which judgments of people count: without some annotators, or of one aspect alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.errors import ConfigError
from core.records import Judgment
from core.text.explain import one_of
from core.text.names import folded_aspect, folded_name
from labelers.crowd.names import written_names
from labelers.crowd.votes import MACHINES, annotator_of


@dataclass(frozen=True)
class WhichVotes:
    """The judgments that count: by default, all."""

    without: Sequence[str] = ()
    """Annotators who are left out, by the names that tables show or that votes have."""
    aspects: Sequence[str] = ()
    """The aspects (dimensions) of people's judgments that count; empty for all. All of machines count."""

    def of(self, judgments: Iterable[Judgment]) -> list[Judgment]:
        """Return the judgments that count; an annotator is told by the names in all of them.

        Raises:
            ConfigError: if nobody has a name, or no judgment of people has an aspect.
        """
        every = list(judgments)
        if not self.without and not self.aspects:
            return every
        left_out = self._left_out(every)
        known = {j.dimension for j in every if j.labeler not in MACHINES and j.dimension}
        for aspect in self.aspects:
            if folded_aspect(aspect) not in map(folded_aspect, known):
                accepted = one_of(sorted(known), aspect) if known else "no --aspect: the labels name none"
                raise ConfigError(f"no aspect {aspect!r}", where="--aspect", accepted=accepted)
        return [j for j in every if annotator_of(j) not in left_out and self._wants(j)]

    def _wants(self, judgment: Judgment) -> bool:
        if not self.aspects or judgment.labeler in MACHINES:
            return True
        return folded_aspect(judgment.dimension or "") in map(folded_aspect, self.aspects)

    def _left_out(self, judgments: Sequence[Judgment]) -> set[str]:
        """Return the annotators to leave out, by the names that votes have."""
        shown = written_names(judgments)
        names: dict[str, set[str]] = {}
        for judgment in judgments:
            own = annotator_of(judgment)
            for name in (own, shown[own], judgment.annotator or own):
                names.setdefault(folded_name(name), set()).add(own)
        found = set[str]()
        for name in self.without:
            if folded_name(name) not in names:
                accepted = one_of(sorted(set(shown.values())), name)
                raise ConfigError(f"no annotator {name!r}", where="--without", accepted=accepted)
            found |= names[folded_name(name)]
        return found


EVERY_VOTE = WhichVotes()
"""All judgments."""
