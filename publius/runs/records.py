"""The record files of a run folder and their record types, for writers and readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.records import (
    Answer,
    Comparison,
    CritiqueTrace,
    Exclusion,
    Judgment,
    Preference,
    Prompt,
    PromptColumns,
    ScoredAnswer,
)
from core.store.record_store import RecordFile, RecordStore


class RunFiles:
    """The record files of a folder; `store` determines if they are open for writing or only for reading."""

    def __init__(self, store: RecordStore) -> None:
        self.store = store

    @property
    def prompts(self) -> RecordFile[Prompt]:
        """The run's prompts, each with its split."""
        return self.store.open("prompts.jsonl", Prompt)

    @property
    def prompt_columns(self) -> RecordFile[PromptColumns]:
        """The user's own columns of the prompts, or of the pairs of `label --pairs` by their comparisons.

        A derived file, written as a whole; open it only to read.
        """
        return self.store.open("prompt_columns.jsonl", PromptColumns)

    def columns_record(self, *ids: str) -> PromptColumns | None:
        """Return the user's columns of the first id that has any, or None."""
        found = next((own for own in ids if own in self.prompt_columns), None)
        return None if found is None else self.prompt_columns.get(found)

    def own_columns(self, *ids: str) -> Mapping[str, Any]:
        """Return the user's columns of the first id that has any; a prompt that came with labels has none."""
        found = self.columns_record(*ids)
        return {} if found is None else found.columns

    @property
    def traces(self) -> RecordFile[CritiqueTrace]:
        """Traces of the critique loop, grouped by prompt."""
        return self.store.open("traces.jsonl", CritiqueTrace, parent="prompt.id")

    @property
    def samples(self) -> RecordFile[ScoredAnswer]:
        """Scored answers of the sample stage, grouped by prompt."""
        return self.store.open("samples.jsonl", ScoredAnswer, parent="prompt.id")

    @property
    def comparisons(self) -> RecordFile[Comparison]:
        """Comparisons, grouped by prompt."""
        return self.store.open("comparisons.jsonl", Comparison, parent="prompt.id")

    @property
    def added_comparisons(self) -> RecordFile[Comparison]:
        """Comparisons imported with human judgments, grouped by prompt, without the run's own."""
        return self.store.open("added_comparisons.jsonl", Comparison, parent="prompt.id")

    def all_comparisons(self) -> Iterator[Comparison]:
        """Yield the folder's own comparisons, then those imported with human judgments, each sorted by id."""
        yield from self.comparisons.sorted()
        yield from (added for added in self.added_comparisons.sorted() if added.id not in self.comparisons)

    def find_comparison(self, comparison_id: str) -> Comparison | None:
        """Return a comparison, the folder's own or imported, or None if there is none."""
        for file in (self.comparisons, self.added_comparisons):
            if comparison_id in file:
                return file.get(comparison_id)
        return None

    def comparison(self, comparison_id: str) -> Comparison:
        """Return a comparison as `find_comparison` does. Raises DataError if there is none."""
        return self.find_comparison(comparison_id) or self.comparisons.get(comparison_id)

    @property
    def judgments(self) -> RecordFile[Judgment]:
        """Judgments, grouped by comparison."""
        return self.store.open("judgments.jsonl", Judgment, parent="comparison_id")

    @property
    def preferences(self) -> RecordFile[Preference]:
        """Preferences, grouped by comparison. A derived file, written as a whole; open it only to read."""
        return self.store.open("preferences.jsonl", Preference, parent="comparison_id")

    @property
    def answers(self) -> RecordFile[Answer]:
        """Answers to held-out prompts, grouped by prompt. A derived file like the preferences."""
        return self.store.open("answers.jsonl", Answer, parent="prompt.id")

    @property
    def exclusions(self) -> RecordFile[Exclusion]:
        """Exclusions, grouped by the excluded record."""
        return self.store.open("exclusions.jsonl", Exclusion, parent="record_id")

    def is_excluded(self, excluded_id: str, stage: str) -> bool:
        """Return True if a stage excluded the record."""
        return any(exclusion.stage == stage for exclusion in self.exclusions.children(excluded_id))
