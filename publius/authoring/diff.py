"""`publius diff`: two constitutions compared, and what that does to the preferences of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constitution.diff import ConstitutionDiff, compare_constitutions
from constitution.loader import load_constitution, preset_names
from constitution.schema import Constitution
from core.errors import ConfigError
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
from publius.runs.folder import read_manifest
from publius.runs.reader import RunReader, open_labelled


@dataclass(frozen=True)
class DiffRequest:
    """What the command line asks for."""

    old: str | None
    """A file, a preset or a run folder; None stands for the constitution of `run`."""
    new: str
    run: Path | None = None
    """The run whose preferences are recomputed under `new`."""
    estimate_only: bool = False
    """Say what the labeler would be asked, and stop."""
    limit: int | None = 10
    """How many flips are returned; None for all."""
    to: Path | None = None
    """Where the recomputed preferences go."""


@dataclass(frozen=True)
class DiffOutcome:
    """What came of it."""

    diff: ConstitutionDiff
    estimate: Estimate | None = None
    shift: Shift | None = None

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
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
    """Compare two constitutions, and recompute a run's preferences where one is named.

    Raises:
        PubliusError: for anything that the user can mend; what was asked stays in the cache.
    """
    new = constitution_of(request.new)
    if request.run is None:
        assert request.old is not None, "the command line asks for two constitutions where no run is named"
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
    """Recompute the preferences, or say what that would take."""
    revised = "critique" in finished.manifest["stages"] and finished.config.compare.source == "revisions"
    if revised and diff.bears_on & {"critique", "revision", "draw"}:
        note("the answers stay those of the run; a run of its own would also write other revisions")
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
    """Refuse an older constitution that is not the run's: its preferences would not be those of the run."""
    found = constitution_of(old)
    if found.digest != finished.constitution.digest:
        raise ConfigError(
            f"OLD is not the constitution of the run: its digest is {found.digest[:16]}, "
            f"the run's {finished.constitution.digest[:16]}",
            where=old,
            accepted=f"{finished.folder}/constitution.yaml, or no OLD",
            run=f"publius diff NEW --run {finished.folder}",
        )
