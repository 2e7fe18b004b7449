"""A run that is labelled to its end, open for reading, with all that it was labelled with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from constitution.loader import load_constitution
from core.errors import RunStateError
from core.store.files import is_there
from core.store.lock import require_no_writer
from core.store.record_store import RecordStore
from publius.config.run_file import load_run_config
from publius.run.folder import RunIdentity, read_manifest
from publius.run.records import RunFiles


class FinishedRun(RunFiles):
    """The record files of a run with preferences, and its constitution, configuration and identity."""

    def __init__(self, folder: Path, store: RecordStore) -> None:
        super().__init__(store)
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.config = load_run_config(folder / "resolved.yaml")
        self.constitution = load_constitution(folder / "constitution.yaml")
        recorded = self.manifest["identity"]
        self.identity = RunIdentity(
            constitution=recorded.get("constitution", ""),
            configuration=recorded.get("configuration") or {},
            prompts=recorded.get("prompts", ""),
            templates=recorded.get("templates", ""),
            models=recorded.get("models") or {},
        )


@contextmanager
def open_finished(folder: Path) -> Iterator[FinishedRun]:
    """Yield a run's files; nothing in the folder is altered.

    Raises:
        RunStateError: the folder is no run, has no preferences, is being written in, or its constitution is
            not the one that it was labelled under.
    """
    manifest = read_manifest(folder)
    require_no_writer(folder)
    if "aggregate" not in manifest["stages"] or not is_there(folder / "preferences.jsonl"):
        raise RunStateError(
            "the run has no preferences yet", where=str(folder), run="publius run RUN.yaml, or publius label"
        )
    with RecordStore(folder.resolve(), writable=False) as store:
        run = FinishedRun(folder.resolve(), store)
        if run.constitution.digest != run.identity.constitution:
            raise RunStateError(
                "constitution.yaml is not the one that the run was labelled under",
                where=str(folder),
                accepted="the file as the run wrote it; edit a copy, and give that as NEW",
            )
        yield run
