"""`publius diff`: compare two constitutions, and recompute the preferences of a run under the new one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitution.diff import ConstitutionDiff, compare_constitutions
from constitution.loader import load_constitution, preset_names
from constitution.schema import Constitution
from core.errors import ConfigError, shell_command
from core.notices import note
from core.store.files import is_there
from publius.authoring.flips import Shift, shift_of
from publius.authoring.recompute import (
    Estimate,
    copy_preferences,
    estimate,
    fill,
    recomputation,
    require_place_for,
)
from publius.runs.engines import EngineMaker, make_engine
from publius.runs.manifest import read_manifest
from publius.runs.reader import RunReader, open_labelled


@dataclass(frozen=True)
class DiffRequest:
    """Two constitutions to compare, or a new one and a run."""

    old: str | None
    """A file, a preset or a run folder; None for the constitution of `run`."""
    new: str
    run: Path | None = None
    """The run whose preferences are recomputed under `new`."""
    estimate_only: bool = False
    """Only count the requests that the labeler would need."""
    limit: int | None = 10
    """Maximum number of flips to return; None for all."""
    to: Path | None = None
    """File for the recomputed preferences."""


@dataclass(frozen=True)
class DiffOutcome:
    """The diff and, for a run, the estimated requests and the shift of its preferences."""

    diff: ConstitutionDiff
    estimate: Estimate | None = None
    shift: Shift | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as JSON-able values."""
        content = self.diff.as_json()
        if self.estimate is not None:
            content["estimate"] = self.estimate.as_json()
        if self.shift is not None:
            content["preferences"] = self.shift.as_json()
        return content


def constitution_of(source: str) -> Constitution:
    """Return the constitution of a file, a preset or a run folder."""
    folder = Path(source)
    if source not in preset_names() and is_there(folder) and folder.is_dir():
        read_manifest(folder)
        return load_constitution(folder / "constitution.yaml")
    return load_constitution(source)


def run_diff(request: DiffRequest, make: EngineMaker = make_engine) -> DiffOutcome:
    """Compare two constitutions and, if a run is given, recompute its preferences.

    Raises:
        PubliusError: for any error that the user can fix. Answers received so far stay in the cache.
    """
    new = constitution_of(request.new)
    if request.run is None:
        assert request.old is not None, "without a run, two constitutions are required"
        diff = compare_constitutions(constitution_of(request.old), new)
        return DiffOutcome(diff)
    if request.to is not None:
        require_place_for(request.to, request.run)
    with open_labelled(request.run) as finished:
        if request.old is not None:
            _require_constitution_of(finished, request.old)
        diff = compare_constitutions(finished.constitution, new)
        return _recomputed(request, diff, finished, make)


def _recomputed(
    request: DiffRequest, diff: ConstitutionDiff, finished: RunReader, make: EngineMaker
) -> DiffOutcome:
    """Recompute the preferences, or only estimate the number of requests."""
    revised = "critique" in finished.manifest["stages"] and finished.config.compare.source == "revisions"
    if revised and diff.bears_on & {"critique", "revision", "draw"}:
        note("the diff reuses the answers of the run; a new run would also write new revisions")
    with recomputation(finished, diff.new, make) as (run, engines):
        estimated = estimate(run, engines)
        if request.estimate_only:
            return DiffOutcome(diff, estimated)
        note(estimated.summary())
        fill(run, engines)
        shift = shift_of(run, request.limit)
        if request.to is not None:
            copy_preferences(run, request.to)
            note(f"wrote {request.to}")
    return DiffOutcome(diff, estimated, shift)


def _require_constitution_of(finished: RunReader, old: str) -> None:
    """Raise ConfigError if OLD is not the constitution that the run's preferences were made under."""
    found = constitution_of(old)
    if found.digest != finished.constitution.digest:
        raise ConfigError(
            f"OLD is not the constitution of the run: its digest is {found.digest[:16]}, "
            f"the run's {finished.constitution.digest[:16]}",
            where=old,
            accepted=f"{finished.folder}/constitution.yaml, or no OLD",
            run=shell_command("publius", "diff", "NEW", "--run", finished.folder),
        )
