"""`publius steer`: plan, write the run file, run it, and return the adapter and its report."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from constitution.draw import in_scope
from constitution.loader import preset_names
from core.errors import ConfigError, DataError, shell_command
from core.notices import note, warn
from core.records import Prompt
from core.store.files import is_there
from engines.config import ModelConfig
from engines.embedded import EMBEDDED_NAME
from evaluation.config import STEERED
from publius.authoring.prompts import PromptsRequest, synthesise
from publius.authoring.steering.plan import Planner, Recipe, SteerPlan, described
from publius.authoring.steering.project import (
    RECIPE,
    SteerOptions,
    SteerProject,
    WrittenPlan,
    run_values,
    sections_for_length,
)
from publius.authoring.steering.prompts import SteerPrompts, found_prompts, given_prompts
from publius.authoring.steering.subject import Subject, find_subject
from publius.authoring.steering.timing import Speed, measure_speed
from publius.config.recipe import below
from publius.config.run_file import RunConfig, build_run_config
from publius.runs.engines import EngineMaker, Engines, make_engine
from publius.runs.project import open_cache
from publius.stages.outcome import RunOutcome
from publius.stages.quality.steered import read_choice
from publius.stages.runner import RunRequest, execute

Measure = Callable[[RunConfig, Engines, Sequence[Prompt]], Speed]
"""Measures the speed of a configuration's policy, given its engines and some prompts."""
_EMBEDDED_DISOBEYS = (
    "no principle has a machine check, and the embedded model hardly follows a constitution in its system "
    "prompt, which is all that it could learn from here; add a check, or set --model to a larger model"
)
_URL = re.compile(r"[a-z]+://", re.IGNORECASE)
_DEFAULTS: Mapping[str, Any] = {
    "model": EMBEDDED_NAME,
    "minutes": 15.0,
    "seed": 0,
    "prompts": None,
    "set": (),
}


@dataclass(frozen=True)
class SteerRequest:
    """Options of `publius steer`. None is the default, or what the plan in the folder has."""

    constitution: str
    """A constitution file, a preset's name, or sentences, one a line."""
    model: str | None = None
    minutes: float | None = None
    prompts: str | None = None
    to: Path | None = None
    seed: int | None = None
    write: Path | None = None
    """Only write the run file, to this path."""
    overrides: Sequence[str] = ()
    started_s: float = field(default_factory=time.monotonic)
    """Start of the command by `time.monotonic`, from which the minutes count."""

    def given(self) -> dict[str, Any]:
        """Return the options that were given, by the name of the option."""
        options: dict[str, Any] = {
            "model": self.model,
            "minutes": self.minutes,
            "seed": self.seed,
            "prompts": None if self.prompts is None else _absolute(self.prompts),
            "set": list(self.overrides) or None,
        }
        return {name: value for name, value in options.items() if value is not None}

    def options(self, earlier: WrittenPlan | None) -> SteerOptions:
        """Return the options; those not given are as in an earlier plan, or the defaults."""
        known = {**_DEFAULTS, **({} if earlier is None else earlier.options), **self.given()}
        return SteerOptions(
            known["model"], known["minutes"], known["seed"], known["prompts"], tuple(known["set"])
        )


@dataclass(frozen=True)
class SteerOutcome:
    """The result of `publius steer`."""

    run_file: Path
    written: WrittenPlan
    minutes: float
    """Minutes that this command took."""
    outcome: RunOutcome | None = None
    """Result of the run; None if only the run file was written."""

    @property
    def allowed(self) -> float:
        """Minutes that it was allowed."""
        return float(self.written.options["minutes"])

    @property
    def choice(self) -> dict[str, Any]:
        """The choice among the checkpoints, with the limits; empty if there was none."""
        return {} if self.outcome is None else read_choice(self.outcome.folder / STEERED) or {}

    @property
    def chosen(self) -> str | None:
        """Name of the chosen checkpoint; None if the base model stays, or nothing was run."""
        name: str | None = self.choice.get("chosen")
        return name

    @property
    def adapter(self) -> Path | None:
        """Folder of the chosen adapter (of the model, if all weights were trained); None if there is none."""
        return None if self.outcome is None or self.chosen is None else self.outcome.folder / STEERED

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as JSON-able values."""
        run = {} if self.outcome is None else self.outcome.as_json()
        folder = None if self.outcome is None else self.outcome.folder
        return {
            "run_file": str(self.run_file),
            "plan": dict(self.written.plan),
            "speed": dict(self.written.speed),
            "minutes": round(self.minutes, 2),
            "allowed_minutes": self.allowed,
            "adapter": None if self.adapter is None else str(self.adapter),
            "report": None if folder is None else str(folder / "eval" / "report.md"),
            "choice": self.choice,
            **({"outcome": run} if run else {}),
        }


def steer(
    request: SteerRequest, make: EngineMaker = make_engine, measure: Measure = measure_speed
) -> SteerOutcome:
    """Steer a model by a constitution in the time allowed; the same request resumes.

    Args:
        request: the options.
        make: builds the engines; tests pass their own.
        measure: measures the speed; tests pass their own.

    Raises:
        ConfigError: a mistake in the constitution or an option, or too little time.
        DataError: the prompts cannot be read, or are too few.
        EngineError: the model cannot be loaded or trained.
        RunStateError: the folder has a plan for other options.
    """
    subject = find_subject(request.constitution)
    project = _project_of(request, subject)
    written = project.plan()
    options = request.options(written)
    named = None if written is None else subject.place_in(project.folder)
    if (
        written is not None
        and named is not None
        and (written.signal == subject.signal or written.constitution != named)
    ):
        project.require_same(written, request.given(), named)
        if options.prompts is not None and given_prompts(Path(options.prompts)).digest != written.prompts:
            project.refuse(f"{options.prompts} has changed since the plan was made")
        note(f"resuming the plan of {project.run_file}")
    else:
        project.require_own()
        written = _Planning(request, options, subject, project).write(make, measure)
    outcome = None
    if request.write is None:
        outcome = execute(RunRequest(project.run_file, started_s=request.started_s), make)
    spent = (time.monotonic() - request.started_s) / 60
    return SteerOutcome(project.run_file, written, spent, outcome)


@dataclass(frozen=True)
class _Planning:
    """The making of a plan."""

    request: SteerRequest
    options: SteerOptions
    subject: Subject
    project: SteerProject

    def write(self, make: EngineMaker, measure: Measure) -> WrittenPlan:
        """Plan, write the plan into the project folder and return it."""
        _require_trainable(self.options.model)
        config, prompts = _config_of(self.options, self.subject), self._prompts(make)
        by_labeler = _names_labeler(config)
        if self.subject.signal == "judged" and _is_embedded(self.options.model):
            warn(_EMBEDDED_DISOBEYS)
        speed = self._speed(config, prompts, make, measure)
        left_s = 60 * self.options.minutes - (time.monotonic() - self.request.started_s)
        plan = Planner(self.subject.signal, Recipe.of(config), speed, by_labeler, self.subject.checks).plan(
            len(prompts.train), len(prompts.test), left_s, self.options.minutes
        )
        note(
            f"{self.subject.constitution.name}: {self.subject.summary}; {self.options.model}; "
            f"{prompts.origin}"
        )
        for line in described(plan):
            note(line)
        return self._written(plan, speed, prompts)

    def _written(self, plan: SteerPlan, speed: Speed, prompts: SteerPrompts) -> WrittenPlan:
        sizes = plan.sizes
        facts = WrittenPlan(
            self.subject.place_in(self.project.folder),
            self.subject.signal,
            self.options.as_json(),
            prompts.digest,
            plan.as_json(),
            asdict(speed),
        )
        chosen = prompts.limited(sizes.train + sizes.validation, sizes.test)
        command = shell_command("publius", "steer", self.request.constitution.splitlines()[0])
        self.project.write(self._values(plan), facts, chosen, command)
        return facts

    def _values(self, plan: SteerPlan) -> dict[str, Any]:
        constitution = self.subject.place_in(self.project.folder)
        return run_values(self.subject, constitution, self.options, plan)

    def _prompts(self, make: EngineMaker) -> SteerPrompts:
        """Return the user's prompts, the demo's, or prompts that the model writes."""
        if self.options.prompts is not None:
            given = given_prompts(Path(self.options.prompts))
            self._require_in_scope(given)
            return given
        source = self.subject.source or str(self.project.folder / "constitution.yaml")

        def write(count: int, to: Path) -> None:
            synthesise(PromptsRequest(source, count, to, self.options.model, self.options.seed), make)

        return found_prompts(
            self.subject.constitution, source, self.options.model, self.project.folder, write
        )

    def _require_in_scope(self, prompts: SteerPrompts) -> None:
        """Raise DataError if no principle that decides about answers applies to a prompt."""
        decisive = [
            principle
            for principle in self.subject.constitution.steering
            if principle.check is not None or self.subject.signal == "judged"
        ]
        if not any(in_scope(principle, prompt) for principle in decisive for prompt in prompts.train):
            raise DataError(
                "no principle applies to any of the prompts",
                where="--prompts",
                accepted="prompts with the tags or words that applies_to names",
            )

    def _speed(self, config: RunConfig, prompts: SteerPrompts, make: EngineMaker, measure: Measure) -> Speed:
        """Return the speed of the model: as measured now, or for an earlier plan in the folder."""
        earlier = self.project.facts()
        if earlier is not None and earlier.options["model"] == self.options.model:
            return earlier.measured()
        with open_cache(self.project.folder) as cache:
            engines = Engines(config.models, config.engine, cache, make, ("policy",))
            try:
                return measure(config, engines, prompts.test)
            finally:
                engines.close()


def _project_of(request: SteerRequest, subject: Subject) -> SteerProject:
    if request.write is not None:
        return SteerProject(request.write.parent, request.write.name)
    return SteerProject(request.to or Path(f"steer-{subject.slug}"))


def _require_trainable(model: str) -> None:
    """Raise ConfigError for a model that has no weights here to train."""
    if model == "scripted" or _URL.match(model):
        what = "the scripted engine" if model == "scripted" else "a model behind a server"
        raise ConfigError(
            f"{what} has no weights to train",
            where="--model",
            accepted="a Hugging Face id, a model folder, or the embedded model",
        )


def _config_of(options: SteerOptions, subject: Subject) -> RunConfig:
    """Return the recipe with the user's model and overrides, without a constitution and prompts."""
    values = {
        "recipe": RECIPE,
        "seed": options.seed,
        "constitution": preset_names()[0],
        "prompts": "prompts.jsonl",
        "models": {"policy": options.model},
    }
    return build_run_config(below(values, sections_for_length(subject.constitution)), options.overrides)


def _names_labeler(config: RunConfig) -> bool:
    """Return True if the user names a labeler that judges better than by chance."""
    labeler = config.models.labeler
    return isinstance(labeler, ModelConfig) and not _is_embedded(labeler.id)


def _is_embedded(model: object) -> bool:
    return model in (EMBEDDED_NAME, "embedded")


def _absolute(prompts: str) -> str:
    """Return the absolute path of a file or folder of prompts; a Hugging Face id as it is."""
    path = Path(prompts).expanduser()
    return str(path.resolve()) if is_there(path) else prompts
