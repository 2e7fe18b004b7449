"""Who labelled the pairs of a data set: how many judgments each source, model and annotator gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.notices import counted
from core.records import Judgment
from labelers.ai import AI_LABELER
from labelers.check import CHECK_LABELER
from labelers.crowd.votes import MACHINES, annotator_of, current_judgments

_EACH = 8
"""Annotators from which only the range of their judgments is given."""


@dataclass
class LabelSourceCounts:
    """The judgments of one source of labels."""

    source: str
    judgments: int = 0
    comparisons: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    annotators: Counter[str] = field(default_factory=Counter)
    """Judgments of each annotator, by name; a judgment without a name counts for the source."""
    by_models: int = 0
    """Judgments that a model gave."""

    def add(self, judgment: Judgment) -> None:
        """Count one judgment."""
        self.judgments += 1
        self.comparisons.add(judgment.comparison_id)
        self.annotators[annotator_of(judgment)] += 1
        if judgment.model is not None:
            self.models.add(judgment.model)
            self.by_models += 1

    @property
    def is_people(self) -> bool:
        """True if people judged: it is not one of our labelers, and not every label is a model's."""
        return self.source not in MACHINES and not (self.judgments and self.by_models == self.judgments)

    @property
    def who(self) -> str:
        """The models, the checks, or the number of annotators with their judgments; no annotator is named."""
        if self.source == AI_LABELER:
            return ", ".join(sorted(self.models)) or "a model"
        if self.source == CHECK_LABELER:
            return "machine checks of the constitution"
        if self.models and not self.is_people:
            return f"{', '.join(sorted(self.models))}, as the labels say"
        each = sorted(self.annotators.values(), reverse=True)
        number = counted(len(each), "annotator")
        if len(each) == 1:
            return number
        if len(each) > _EACH:
            return f"{number}, {each[-1]:,} to {each[0]:,} judgments each"
        *first, last = (f"{count:,}" for count in each)
        return f"{number}: {', '.join(first)} and {last} judgments"


class LabelledBy:
    """Counts judgments by source while they pass."""

    def __init__(self) -> None:
        self._sources: dict[str, LabelSourceCounts] = {}
        self._people: list[Judgment] = []

    def passing(self, judgments: Iterator[Judgment]) -> Iterator[Judgment]:
        """Yield the judgments unchanged, and count them."""
        for judgment in judgments:
            if judgment.labeler in MACHINES:
                self._source(judgment.labeler).add(judgment)
            else:
                self._people.append(judgment)
            yield judgment

    def sources(self) -> list[LabelSourceCounts]:
        """Return the counts in order of name; judgments of people that were taken back do not count."""
        for judgment in current_judgments(self._people):
            self._source(judgment.labeler).add(judgment)
        self._people.clear()
        return [self._sources[name] for name in sorted(self._sources)]

    def _source(self, name: str) -> LabelSourceCounts:
        return self._sources.setdefault(name, LabelSourceCounts(name))
