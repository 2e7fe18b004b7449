"""Read-only access to run folders and label folders, and to single records with their history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from constitution.loader import load_constitution
from constitution.schema import Constitution
from core.errors import DataError, PubliusError, RunStateError
from core.records import Comparison, CritiqueTrace, Exclusion, Judgment, Preference, Prompt, ScoredAnswer
from core.store.files import is_there
from core.store.lock import require_no_writer
from core.store.record_store import RecordFile, RecordStore
from publius.config.run_file import RunConfig
from publius.runs.inputs import CONSTITUTION, recorded_config
from publius.runs.judgment_folder import require_judgments
from publius.runs.manifest import read_manifest
from publius.runs.opening.identity import RunIdentity
from publius.runs.pairs.unlabelled import require_preferences
from publius.runs.records import RunFiles

AnyRecord = Prompt | CritiqueTrace | ScoredAnswer | Comparison | Judgment | Preference | Exclusion


@dataclass(frozen=True)
class RecordInRun:
    """A record of a run, with the records that it was made from and the records made from it."""

    record: AnyRecord
    history: tuple[AnyRecord, ...]
    """All of these records in the order of creation, including the record itself."""
    constitution: Constitution | None = None
    """The run's constitution; None if it cannot be loaded."""
    prompt: Prompt | None = None
    """The prompt that it was made from; in a run on given pairs it has no record of its own."""
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The user's own columns that were carried along, by the id of the prompt or the comparison."""

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON-able values."""
        return self.record.model_dump(mode="json", exclude_none=True)


class RecordsReader(RunFiles):
    """A run folder or label folder, open for reading; another process may be writing to it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(RecordStore(folder, writable=False))
        self.folder = folder

    def close(self) -> None:
        """Close the record files."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RunReader(RecordsReader):
    """A run folder, open for reading, with its manifest, constitution, configuration and identity.

    Raises:
        RunStateError: if the folder is not a run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.manifest = read_manifest(folder)
        super().__init__(folder)

    @cached_property
    def config(self) -> RunConfig:
        """The run's configuration, with the templates in the run folder."""
        return recorded_config(self.folder)

    @cached_property
    def constitution(self) -> Constitution:
        """The constitution in the run folder."""
        return load_constitution(self.folder / "constitution.yaml")

    @cached_property
    def identity(self) -> RunIdentity:
        """The identity recorded in the manifest."""
        recorded = self.manifest["identity"]
        return RunIdentity(
            constitution=recorded.get("constitution", ""),
            configuration=recorded.get("configuration") or {},
            prompts=recorded.get("prompts", ""),
            templates=recorded.get("templates", ""),
            models=recorded.get("models") or {},
        )

    def find(self, prefix: str) -> AnyRecord:
        """Return the only record whose id begins with `prefix`.

        Raises:
            DataError: if there is none, or more than one.
        """
        files: tuple[RecordFile[Any], ...] = (
            self.prompts,
            self.traces,
            self.samples,
            self.comparisons,
            self.added_comparisons,
            self.judgments,
            self.preferences,
            self.exclusions,
        )
        by_name = {file.path.name: file for file in files}
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
        record: AnyRecord = by_name[name].get(identity)
        return record

    def prompt_id_of(self, record: AnyRecord) -> str | None:
        """Return the id of the prompt that a record was made from, or None."""
        if isinstance(record, Prompt):
            return record.id
        if isinstance(record, CritiqueTrace | ScoredAnswer | Comparison):
            return record.prompt.id
        if isinstance(record, Judgment | Preference):
            return self.comparison(record.comparison_id).prompt.id
        excluded = self.find_comparison(record.record_id)
        if excluded is not None:
            return excluded.prompt.id
        return record.record_id if record.record_id in self.prompts else None

    def history(self, prompt_id: str) -> list[AnyRecord]:
        """Return all records of a run that were made from a prompt, in order of creation."""
        records: list[AnyRecord] = [*self.traces.children(prompt_id)]
        samples: list[ScoredAnswer] = sorted(self.samples.children(prompt_id), key=attrgetter("origin"))
        records += samples
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
    """Return the only record of a run whose id begins with `prefix`, with its history.

    Raises:
        DataError: if there is none, or more than one.
        RunStateError: if the folder is not a run folder.
    """
    with RunReader(folder) as run:
        record = run.find(prefix)
        prompt_id = run.prompt_id_of(record)
        history = [] if prompt_id is None else run.history(prompt_id)
        if prompt_id is not None and prompt_id in run.prompts:
            history.insert(0, run.prompts.get(prompt_id))
        prompts = [one if isinstance(one, Prompt) else _prompt_of(one) for one in (*history, record)]
        about = [prompt_id, *(one.id for one in history if isinstance(one, Comparison))]
        own = {name: columns for name in about if name and (columns := run.own_columns(name))}
    return RecordInRun(
        record,
        tuple(history or [record]),
        readable_constitution(folder),
        next(filter(None, prompts), None),
        own,
    )


def _prompt_of(record: AnyRecord) -> Prompt | None:
    """Return the prompt that a record holds; None if it holds none."""
    return record.prompt if isinstance(record, CritiqueTrace | ScoredAnswer | Comparison) else None


def readable_constitution(folder: Path) -> Constitution | None:
    """Return the constitution of a run, or None if it cannot be loaded."""
    try:
        return load_constitution(folder / CONSTITUTION)
    except PubliusError:
        return None


def open_labelled(folder: Path) -> RunReader:
    """Open a fully labelled run for reading, without changing its folder.

    Raises:
        RunStateError: if the folder is not a run folder, has no preferences or is being written to, or its
            constitution changed since it was labelled.
    """
    manifest = read_manifest(folder)
    require_no_writer(folder)
    require_preferences(folder, manifest)
    if not is_there(folder / "preferences.jsonl"):
        raise RunStateError(
            "the run's preferences.jsonl is missing",
            where=str(folder),
            run="publius run RUN.yaml or publius label",
        )
    run = RunReader(folder.resolve())
    try:
        run.config  # noqa: B018  loaded here to report its errors before any request
        if run.constitution.digest != run.identity.constitution:
            raise RunStateError(
                "constitution.yaml was changed after the run was labelled",
                where=str(folder),
                accepted="the unchanged file; edit a copy and pass the copy as NEW",
            )
    except BaseException:
        run.close()
        raise
    return run


def open_judgments(folder: Path) -> RecordsReader:
    """Open a label folder for reading. Raises DataError if it has no judgments."""
    require_judgments(folder)
    return RecordsReader(folder)
