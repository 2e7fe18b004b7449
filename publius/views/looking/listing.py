"""The runs of a project: how far each one is, and what came out of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import PubliusError, RunStateError
from core.store.files import is_there
from evaluation.gates.recorded import gate_results
from publius.runs.inputs import CONSTITUTION
from publius.runs.manifest import MANIFEST, read_manifest
from publius.runs.pairs.caveats import scripted_roles
from publius.runs.reader import readable_constitution
from publius.stages.base import STAGES
from publius.stages.outcome import evaluation_of

RUNS = "runs"
"""Folder of a project's runs."""


@dataclass(frozen=True)
class ListedRun:
    """A run of a project."""

    folder: Path
    created: str
    """Moment in ISO 8601."""
    stage: str | None
    """The last stage, in the order of a run, that has begun; None before the first."""
    constitution: str | None
    """Name of the constitution; None if it cannot be read."""
    prompts: int
    preferences: int
    gates: Mapping[str, int] = field(default_factory=dict)
    """Number of gates by outcome; empty without an evaluation."""
    scripted: tuple[str, ...] = ()
    """Roles whose texts or labels are by the scripted engine."""

    def as_json(self) -> dict[str, Any]:
        """Return the run as JSON-able values."""
        return {
            "run": str(self.folder),
            "name": self.folder.name,
            "created": self.created,
            "stage": self.stage,
            "constitution": self.constitution,
            "prompts": self.prompts,
            "preferences": self.preferences,
            "gates": dict(self.gates),
            "scripted": list(self.scripted),
        }


@dataclass(frozen=True)
class RunListing:
    """The runs of a project, the newest first, and folders that cannot be read as one."""

    folder: Path
    runs: tuple[ListedRun, ...]
    unreadable: Mapping[str, str]
    """The reason by folder."""

    def as_json(self) -> dict[str, Any]:
        """Return the listing as JSON-able values."""
        return {"runs": [run.as_json() for run in self.runs], "unreadable": dict(self.unreadable)}


def list_runs(project: Path) -> RunListing:
    """Return the runs of a project.

    Args:
        project: its folder, a run file in it, or the folder of its runs.

    Raises:
        RunStateError: if the folder does not exist.
    """
    folder = _folder_of_runs(project)
    runs: list[ListedRun] = []
    unreadable: dict[str, str] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not path.is_dir():
            continue
        try:
            runs.append(_listed(path))
        except PubliusError as error:
            unreadable[path.name] = error.problems[0].what
    return RunListing(folder, tuple(sorted(runs, key=lambda run: run.created, reverse=True)), unreadable)


def _folder_of_runs(project: Path) -> Path:
    if not is_there(project):
        raise RunStateError(
            "no such folder", where=str(project), accepted="a project: a folder with a run file"
        )
    folder = project.parent if project.is_file() else project
    holds_runs = folder.name == RUNS or any(folder.glob(f"*/{MANIFEST}"))
    return folder if holds_runs and not (folder / RUNS).is_dir() else folder / RUNS


def _listed(folder: Path) -> ListedRun:
    manifest = read_manifest(folder)
    stages = manifest["stages"]
    gates = Counter(str(result.outcome) for result in gate_results(evaluation_of(folder)))
    return ListedRun(
        folder,
        manifest["created"],
        next((stage for stage in reversed(STAGES) if stage in stages), None),
        _constitution(folder),
        stages.get("prompts", {}).get("records", 0),
        stages.get("aggregate", {}).get("records", 0),
        dict(gates),
        _scripted(folder, manifest),
    )


def _scripted(folder: Path, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the roles of the scripted engine; none if the settings of the run cannot be read."""
    with suppress(PubliusError):
        return scripted_roles(folder, manifest)
    return ()


def _constitution(folder: Path) -> str | None:
    found = readable_constitution(folder) if (folder / CONSTITUTION).exists() else None
    return None if found is None else found.name
