"""The record files of a run folder, each opened as what it holds, in one place for writers and readers."""

from __future__ import annotations

from collections.abc import Iterator

from core.records import Answer, Comparison, CritiqueTrace, Exclusion, Judgment, Preference, Prompt
from core.store.record_store import RecordFile, RecordStore


class RunFiles:
    """Opens a run's record files by name; `store` decides whether for writing or for reading."""

    def __init__(self, store: RecordStore) -> None:
        self.store = store

    @property
    def prompts(self) -> RecordFile[Prompt]:
        """The run's prompts, each with its split."""
        return self.store.open("prompts.jsonl", Prompt)

    @property
    def traces(self) -> RecordFile[CritiqueTrace]:
        """Traces of the critique loop, grouped by prompt."""
        return self.store.open("traces.jsonl", CritiqueTrace, parent="prompt.id")

    @property
    def comparisons(self) -> RecordFile[Comparison]:
        """Comparisons, grouped by prompt."""
        return self.store.open("comparisons.jsonl", Comparison, parent="prompt.id")

    @property
    def added_comparisons(self) -> RecordFile[Comparison]:
        """Comparisons that came with people's judgments, grouped by prompt; none of the run's own."""
        return self.store.open("added_comparisons.jsonl", Comparison, parent="prompt.id")

    def all_comparisons(self) -> Iterator[Comparison]:
        """Yield the folder's own comparisons, then those that came with people's judgments, each by id."""
        yield from self.comparisons.sorted()
        yield from (added for added in self.added_comparisons.sorted() if added.id not in self.comparisons)

    def find_comparison(self, comparison_id: str) -> Comparison | None:
        """Return a comparison of the folder's own, or one that came with people's judgments, or None."""
        for file in (self.comparisons, self.added_comparisons):
            if comparison_id in file:
                return file.get(comparison_id)
        return None

    def comparison(self, comparison_id: str) -> Comparison:
        """Return the comparison of that id, as `find_comparison`. Raises DataError if there is none."""
        return self.find_comparison(comparison_id) or self.comparisons.get(comparison_id)

    @property
    def judgments(self) -> RecordFile[Judgment]:
        """Judgments, grouped by comparison."""
        return self.store.open("judgments.jsonl", Judgment, parent="comparison_id")

    @property
    def preferences(self) -> RecordFile[Preference]:
        """Preferences, grouped by comparison. Derived and rewritten whole, so only readers open them."""
        return self.store.open("preferences.jsonl", Preference, parent="comparison_id")

    @property
    def answers(self) -> RecordFile[Answer]:
        """Answers to held-out prompts, grouped by prompt. Derived and rewritten whole, like preferences."""
        return self.store.open("answers.jsonl", Answer, parent="prompt.id")

    @property
    def exclusions(self) -> RecordFile[Exclusion]:
        """What was left out, grouped by the record that was."""
        return self.store.open("exclusions.jsonl", Exclusion, parent="record_id")

    def is_excluded(self, excluded_id: str, stage: str) -> bool:
        """Return whether a stage left the record out."""
        return any(exclusion.stage == stage for exclusion in self.exclusions.children(excluded_id))
