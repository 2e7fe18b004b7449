"""Rows of an export that pass a filter, with counts of the others by configuration and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar

from core.records import CritiqueTrace, Judgment, Preference, ScoredAnswer
from publius.runs.pairs.filters import LeftOut, PreferenceFilter

Selected = TypeVar("Selected", Preference, Judgment, CritiqueTrace, ScoredAnswer)
_OF_ANOTHER_PAIR = "about a pair that is left out"


class RowSelection:
    """The rows of all configurations that pass a filter.

    Preferences pass as everywhere, and judgments if the preference of their comparison does. Answers that no
    labeler compared, revisions and samples, have tags alone.
    """

    def __init__(self, conditions: PreferenceFilter, preferences: Iterable[Preference]) -> None:
        self.conditions = conditions
        self.left_out: dict[str, Counter[str]] = {}
        """Number of rows that are left out, by configuration and reason."""
        self._comparisons: set[str] = set()
        if conditions:
            passing = LeftOut(conditions).passing(preferences)
            self._comparisons = {preference.comparison_id for preference in passing}

    def of(self, configuration: str, records: Iterable[Selected]) -> Iterator[Selected]:
        """Yield the records that pass, and count the others."""
        for record in records:
            reason = self._reason(record) if self.conditions else None
            if reason is None:
                yield record
            else:
                self.left_out.setdefault(configuration, Counter())[reason] += 1

    def _reason(self, record: Preference | Judgment | CritiqueTrace | ScoredAnswer) -> str | None:
        if isinstance(record, Preference):
            return self.conditions.reason(record)
        if isinstance(record, Judgment):
            return None if record.comparison_id in self._comparisons else _OF_ANOTHER_PAIR
        return self.conditions.reason_for_tags(record.prompt.tags)
