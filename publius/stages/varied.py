"""Runs that vary settings: every combination of the given values, each an ordinary run, one after another.

All runs are in one project. They share its request cache, and a training whose data and settings are those of
another run is copied from it, so what the combinations have in common is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from constitution.loader import load_constitution
from core.digests import digest
from core.errors import ConfigError, Problem, PubliusError
from core.notices import each_once, note, warn
from publius.config.run_file import RunConfig, load_stages_config
from publius.config.variations import OPTION, Combination, Variation, combinations_of
from publius.runs.engines import EngineMaker, make_engine
from publius.runs.inputs import evaluation_settings
from publius.runs.opening.identity import identify
from publius.stages.base import Stage
from publius.stages.outcome import RunOutcome
from publius.stages.runner import RunRequest, execute
from training.processes import world_size


@dataclass(frozen=True)
class VariedRequest:
    """A run file, and the settings that its runs vary."""

    run_file: Path
    variations: Sequence[Variation]
    overrides: Sequence[str] = ()
    """Overrides that all runs have."""
    stages: Sequence[Stage] = ()
    """Stages to run; if empty, all stages that the run file asks for."""
    strict: bool = False
    """True to treat inconclusive gates as failed."""


@dataclass(frozen=True)
class PlannedRun:
    """A combination of settings and the run that it leads to."""

    combination: Combination
    request: RunRequest


@dataclass(frozen=True)
class VariedRun:
    """A combination of settings, and what its run came to."""

    combination: Combination
    outcome: RunOutcome | None
    """None if the run failed."""
    error: PubliusError | None = None

    @property
    def settings(self) -> dict[str, object]:
        """The varied settings of the run."""
        return dict(self.combination.settings)

    @property
    def folder(self) -> Path | None:
        """The run folder; None if the run failed."""
        return None if self.outcome is None else self.outcome.folder

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What made the run fail; empty if it did not."""
        return () if self.error is None else self.error.problems

    def as_json(self) -> dict[str, Any]:
        """Return the settings and the outcome as JSON-able values."""
        return {
            "settings": self.settings,
            "outcome": self.outcome and self.outcome.as_json(),
            "error": self.error and self.error.as_json(),
        }


@dataclass(frozen=True)
class VariedOutcome:
    """The runs of all combinations, in order."""

    runs: tuple[VariedRun, ...]

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folders of the runs that did not fail."""
        return tuple(run.folder for run in self.runs if run.folder is not None)

    @property
    def failed(self) -> tuple[VariedRun, ...]:
        """Runs that ended in an error."""
        return tuple(run for run in self.runs if run.error is not None)

    def as_json(self) -> dict[str, Any]:
        """Return the runs as JSON-able values."""
        return {"runs": [run.as_json() for run in self.runs], "failed": len(self.failed)}


def planned_runs(request: VariedRequest) -> tuple[PlannedRun, ...]:
    """Return the run of each combination, with all settings and constitutions checked before one starts.

    Raises:
        PubliusError: if a combination cannot run, or two of them are the same run.
    """
    if world_size() > 1:
        raise ConfigError(
            f"{OPTION} runs in one process",
            where="accelerate launch",
            accepted="publius run without accelerate, or one command for each combination",
        )
    found: list[PlannedRun] = []
    known: dict[str, Combination] = {}
    for combination in combinations_of(request.variations):
        overrides = (*request.overrides, *combination.overrides())
        try:
            config = load_stages_config(request.run_file, overrides, request.stages)
            identity = _identity(config)
        except ConfigError as error:
            raise _blamed(error, combination) from error
        if identity in known:
            raise ConfigError(
                f"{known[identity]} and {combination} are the same run: nothing that they differ in changes "
                "its results",
                where=OPTION,
                accepted="values that lead to different runs",
            )
        known[identity] = combination
        named = (*overrides, f"name={combination.name(config.name)}")
        run = RunRequest(request.run_file, named, request.stages, strict=request.strict)
        found.append(PlannedRun(combination, run))
    return tuple(found)


def run_varied(request: VariedRequest, make: EngineMaker = make_engine) -> VariedOutcome:
    """Run all combinations one after another. A run that fails does not stop the others.

    Raises:
        PubliusError: before the first run, if a combination cannot run.
    """
    planned = planned_runs(request)
    runs: list[VariedRun] = []
    with each_once() as begin:
        for number, plan in enumerate(planned, start=1):
            begin()
            title = f"run {number} of {len(planned)}: {plan.combination}"
            note(f"\n{title}")
            try:
                outcome = execute(plan.request, make)
            except PubliusError as error:
                warn(f"{title} failed: {error}")
                runs.append(VariedRun(plan.combination, None, error))
            else:
                runs.append(VariedRun(plan.combination, outcome))
    return VariedOutcome(tuple(runs))


def _identity(config: RunConfig) -> str:
    """Return a digest of a run with its models by name: their files may not be on this machine yet."""
    identity = identify(config, load_constitution(config.constitution), {})
    models = config.models.model_dump(mode="json")
    return digest("varied", vars(identity), evaluation_settings(config), models)


def _blamed(error: ConfigError, combination: Combination) -> ConfigError:
    """Return an error that names `--vary` and the combination where it named `--set`."""
    options = (f"--set {text}" for text in combination.overrides())
    given = dict(zip(options, combination.settings, strict=True))

    def blamed(problem: Problem) -> Problem:
        at = given.get(problem.where or "")
        return problem if at is None else replace(problem, where=f"{OPTION} {at[0]}={at[1]}")

    return ConfigError.of([blamed(problem) for problem in error.problems])
