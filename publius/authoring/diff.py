"""`publius diff`: compare two constitutions, and recompute the preferences of a run under the new one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from constitution.diff import ConstitutionDiff, compare_constitutions
from constitution.loader import load_constitution, preset_names
from constitution.schema import Constitution
from core.errors import ConfigError, RunStateError, shell_command
from core.notices import note
from core.store.files import is_there
from core.text.yaml_writing import yaml_flow
from publius.authoring.estimating.relabelling import LabelTokens, RelabellingCost, relabelling_cost
from publius.authoring.flips import Shift, shift_of
from publius.authoring.recompute import (
    Estimate,
    Recomputed,
    copy_preferences,
    estimate,
    fill,
    project_of_run,
    recomputation,
    require_place_for,
)
from publius.authoring.replies.checking import require_csv
from publius.authoring.replies.flips import RepliesShift, replies_shift
from publius.runs.engines import EngineMaker, Engines, make_engine
from publius.runs.inputs import CONSTITUTION
from publius.runs.manifest import read_manifest
from publius.runs.pairs.unlabelled import has_preferences
from publius.runs.reader import RunReader, open_labelled
from publius.sources.texts.reading import UNSAID, TextReading


@dataclass(frozen=True)
class DiffRequest:
    """Two constitutions to compare, or a new one and a run."""

    old: str | None
    """A file, a preset or a run folder; None for the constitution of `run`."""
    new: str
    run: Path | None = None
    """The run whose preferences are recomputed under `new`."""
    estimate_only: bool = False
    """Only count the requests that the labeler would need, with their tokens, time and price."""
    limit: int | None = 10
    """Maximum number of flips to return; None for all."""
    to: Path | None = None
    """File for the recomputed preferences."""
    rate: float | None = None
    """For the estimate: generated tokens per second; None for the speed of earlier runs."""
    prices: Path | None = None
    """For the estimate: table of prices; None for `prices.yaml` in the project."""
    replies: Path | None = None
    """Replies whose verdicts under both constitutions are compared."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The column of the replies' file for each of ours."""
    reading: TextReading = UNSAID
    """How texts of the file are read: HTML, quoted mail and signatures."""
    prompts: Path | None = None
    """A file of prompts, whose tags and columns replies to the same prompts get."""


@dataclass(frozen=True)
class DiffOutcome:
    """The diff; for a run, the estimated requests and the shift of its preferences; verdicts of replies."""

    diff: ConstitutionDiff
    estimate: Estimate | None = None
    shift: Shift | None = None
    cost: RelabellingCost | None = None
    """What the new requests of an estimate take."""
    replies: RepliesShift | None = None
    """What checks say about replies under both."""

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as JSON-able values."""
        content = self.diff.as_json()
        if self.estimate is not None:
            content["estimate"] = self.estimate.as_json()
        if self.cost is not None:
            content["cost"] = self.cost.as_json()
        if self.shift is not None:
            content["preferences"] = self.shift.as_json()
        if self.replies is not None:
            content["replies"] = self.replies.as_json()
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
        if request.replies is None:
            return DiffOutcome(diff)
        if request.to is not None:
            require_csv(request.to)
        shift = replies_shift(
            diff.old,
            new,
            request.replies,
            request.columns,
            request.to,
            request.reading,
            request.prompts,
        )
        return DiffOutcome(diff, replies=shift)
    if request.to is not None:
        require_place_for(request.to, request.run)
    _require_preferences(request.run, request.new)
    with open_labelled(request.run) as finished:
        if request.old is not None:
            _require_constitution_of(finished, request.old)
        diff = compare_constitutions(finished.constitution, new)
        return _recomputed(request, diff, finished, make)


def _require_preferences(folder: Path, new: str) -> None:
    """Raise an error, with a command that works for the run, if it has no preferences to recompute.

    A run that compared no answers, such as one that was only evaluated, is told how to measure both
    constitutions on the same prompts.
    """
    manifest = read_manifest(folder)
    pairs = manifest["stages"].get("compare", {}).get("records", 0)
    if has_preferences(manifest) or ("aggregate" in manifest["stages"] and pairs):
        return
    project = folder.resolve().parent.parent
    run_file, overrides = project / str(manifest.get("run_file", "")), manifest.get("overrides", [])
    if not run_file.is_file():
        return
    sets = [value for value in overrides if not value.startswith("constitution=")]
    named = Path(os.path.relpath(run_file))
    if pairs:
        words: tuple[str, ...] = ("label", str(named))
        sets = list(overrides)
    else:
        others = (os.path.relpath(folder.resolve() / CONSTITUTION, project), _from_project(new, project))
        words = ("eval", str(named), "--vary", f"constitution={','.join(map(yaml_flow, others))}")
    words += tuple(part for value in sets for part in ("--set", value))
    what, why = "the run has no preferences yet", ""
    if words[0] == "eval":
        what = "the run compared no answers, so no label can flip"
        why = ", which measures both on the same prompts"
    raise RunStateError(what, where=str(folder), run=shell_command("publius", *words) + why)


def _from_project(source: str, project: Path) -> str:
    """Return a constitution as a run file in the project names it: a preset, or a path from there."""
    if source in preset_names():
        return source
    path = Path(source) / CONSTITUTION if Path(source).is_dir() else Path(source)
    return os.path.relpath(path, project)


def _recomputed(
    request: DiffRequest, diff: ConstitutionDiff, finished: RunReader, make: EngineMaker
) -> DiffOutcome:
    """Recompute the preferences, or only estimate the number of requests."""
    revised = "critique" in finished.manifest["stages"] and finished.config.compare.source == "revisions"
    if revised and diff.bears_on & {"critique", "revision", "draw"}:
        note("the diff reuses the answers of the run; a new run would also write new revisions")
    with recomputation(finished, diff.new, make) as (run, engines):
        if request.estimate_only:
            return _estimated(request, diff, run, engines)
        estimated = estimate(run, engines)
        note(estimated.summary())
        fill(run, engines)
        shift = shift_of(run, request.limit)
        if request.to is not None:
            copy_preferences(run, request.to)
            note(f"wrote {request.to}")
    return DiffOutcome(diff, estimated, shift)


def _estimated(
    request: DiffRequest, diff: ConstitutionDiff, run: Recomputed, engines: Engines
) -> DiffOutcome:
    """Return the number of requests, with their tokens, time and price."""
    tokens = LabelTokens(engines.of("labeler"), engines.cache)
    estimated = estimate(run, engines, tokens.add)
    project = project_of_run(run.finished)
    cost = relabelling_cost(tokens, run.config, project, request.rate, request.prices)
    return DiffOutcome(diff, estimated, cost=cost)


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
