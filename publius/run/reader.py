"""`publius show`: one record of a run with the records that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.records import Comparison, CritiqueTrace, Exclusion, Judgment, Preference, Prompt
from core.store.record_store import RecordFile, RecordStore
from publius.run.folder import read_manifest
from publius.run.records import RunFiles

AnyRecord = Prompt | CritiqueTrace | Comparison | Judgment | Preference | Exclusion


@dataclass(frozen=True)
class RecordInRun:
    """A record of a run, with the records that it came from and those that came of it."""

    record: AnyRecord
    history: tuple[AnyRecord, ...]
    """In the order in which they came about, the record among them."""

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON-able values."""
        return self.record.model_dump(mode="json", exclude_none=True)


class RunReader(RunFiles):
    """A run folder open for reading, also while another process writes it."""

    def __init__(self, folder: Path) -> None:
        read_manifest(folder)
        super().__init__(RecordStore(folder, writable=False))
        files: tuple[RecordFile[Any], ...] = (
            self.prompts,
            self.traces,
            self.comparisons,
            self.added_comparisons,
            self.judgments,
            self.preferences,
            self.exclusions,
        )
        self._by_name = {file.path.name: file for file in files}

    def find(self, prefix: str) -> AnyRecord:
        """Return the one record whose id begins with `prefix`.

        Raises:
            DataError: if there is none, or more than one.
        """
        found = self.store.find(prefix)
        if len(found) != 1:
            example = next(iter(self.prompts), None)
            count = "no record has" if not found else f"{len(found)} records have"
            what = f"{count} an id that begins with {prefix!r}"
            accepted = ", ".join(f"{identity} ({name})" for name, identity in found[:5]) or (
                f"an id such as {example.id}" if example else "an id from one of the .jsonl files"
            )
            raise DataError(what, where=str(self.store.folder), accepted=accepted)
        name, identity = found[0]
        record: AnyRecord = self._by_name[name].get(identity)
        return record

    def prompt_id_of(self, record: AnyRecord) -> str | None:
        """Return the id of the prompt that a record goes back to."""
        if isinstance(record, Prompt):
            return record.id
        if isinstance(record, CritiqueTrace | Comparison):
            return record.prompt.id
        if isinstance(record, Judgment | Preference):
            return self.comparison(record.comparison_id).prompt.id
        return None

    def history(self, prompt_id: str) -> list[AnyRecord]:
        """Return everything that a run holds about a prompt, in the order in which it came about."""
        records: list[AnyRecord] = [*self.traces.children(prompt_id)]
        for comparison in (
            *self.comparisons.children(prompt_id),
            *self.added_comparisons.children(prompt_id),
        ):
            records.append(comparison)
            records += self.judgments.children(comparison.id)
            records += self.preferences.children(comparison.id)
            records += self.exclusions.children(comparison.id)
        return [*records, *self.exclusions.children(prompt_id)]


def show_record(folder: Path, prefix: str) -> RecordInRun:
    """Return the one record of a run whose id begins with `prefix`, with its history.

    Raises:
        DataError: if there is none, or more than one.
        RunStateError: if the folder is no run.
    """
    reader = RunReader(folder)
    record = reader.find(prefix)
    prompt_id = reader.prompt_id_of(record)
    history = [] if prompt_id is None else reader.history(prompt_id)
    if prompt_id is not None and prompt_id in reader.prompts:
        history.insert(0, reader.prompts.get(prompt_id))
    return RecordInRun(record, tuple(history or [record]))
