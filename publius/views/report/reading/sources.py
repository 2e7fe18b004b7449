"""The folders that a report is about: runs and trainings on data sets, opened for reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from constitution.schema import Constitution
from core.errors import PubliusError, RunStateError
from core.store.files import is_there
from publius.runs.inputs import evaluation_settings
from publius.runs.manifest import MANIFEST
from publius.runs.pairs.caveats import asked_models
from publius.runs.parts.audited import audit_of
from publius.runs.reader import RunReader
from training.checkpoints import RESULT

METRICS_LOG = "metrics.jsonl"
"""Log of a training, one line for each optimizer step and evaluation."""
_FIRST_MEMBER = "member-0"


@dataclass(frozen=True)
class RunSource:
    """A run of a report."""

    label: str
    """Name of the run on the page and in the names of its figures; unique in the report."""
    reader: RunReader
    constitution: Constitution | None
    """None if it cannot be loaded, for example because its Python checks are not allowed."""
    problem: str | None = None
    """Why there is no constitution."""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.reader.folder

    @property
    def manifest(self) -> dict[str, Any]:
        """The content of the run's manifest."""
        return self.reader.manifest

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The recorded settings that determine the run's results, those of the last evaluation included."""
        recorded = dict(self.reader.identity.configuration)
        with suppress(PubliusError):  # the file is damaged: what the manifest has of them
            return {**recorded, **evaluation_settings(self.reader.config)}
        return recorded

    @cached_property
    def models(self) -> dict[str, str]:
        """The model of each role that wrote or judged something in the run."""
        return asked_models(self.folder, self.manifest)

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.manifest["seed"])


@dataclass(frozen=True)
class TrainingSource:
    """A folder of `publius train`."""

    label: str
    folder: Path


@dataclass(frozen=True)
class Sources:
    """Everything that a report is about."""

    runs: tuple[RunSource, ...]
    trainings: tuple[TrainingSource, ...]


@contextmanager
def open_sources(folders: Sequence[Path]) -> Iterator[Sources]:
    """Open run folders and training folders for reading.

    Raises:
        RunStateError: if a folder is neither, or is given twice.
    """
    runs: list[RunSource] = []
    trainings: list[TrainingSource] = []
    with ExitStack() as stack:
        for folder, label in zip(folders, labels_of(folders), strict=True):
            if is_there(folder / MANIFEST):
                reader = stack.enter_context(RunReader(folder.resolve()))
                reader.manifest["audit"] = audit_of(reader.folder, reader.manifest)
                runs.append(RunSource(label, reader, *_constitution_of(reader)))
            elif is_training_folder(folder):
                trainings.append(TrainingSource(label, folder.resolve()))
            else:
                raise RunStateError(
                    "neither a run folder nor a training folder",
                    where=str(folder),
                    accepted=f"a folder with {MANIFEST} (publius run) or {RESULT} (publius train)",
                    run="publius run RUN.yaml, which makes a folder in runs/",
                )
        yield Sources(tuple(runs), tuple(trainings))


def is_training_folder(folder: Path) -> bool:
    """Return True if a training has written its log or its result into a folder."""
    return any(is_there(folder / name) for name in (RESULT, METRICS_LOG, f"{_FIRST_MEMBER}/{RESULT}"))


def labels_of(folders: Sequence[Path]) -> list[str]:
    """Return a unique label for each folder: its name, with the names of its parents where needed.

    Raises:
        RunStateError: if a folder is given twice.
    """
    resolved = [folder.resolve() for folder in folders]
    twice = next((folder for n, folder in enumerate(resolved) if folder in resolved[:n]), None)
    if twice is not None:
        raise RunStateError("the folder is given twice", where=str(twice), accepted="each folder once")
    longest = max(len(folder.parts) for folder in resolved)
    for length in range(1, longest + 1):
        labels = ["/".join(folder.parts[-length:]) for folder in resolved]
        if len(set(labels)) == len(labels):
            return labels
    return [str(folder) for folder in resolved]


def _constitution_of(reader: RunReader) -> tuple[Constitution | None, str | None]:
    try:
        return reader.constitution, None
    except PubliusError as error:
        return None, str(error)
