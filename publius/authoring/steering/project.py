"""The project folder of `publius steer`: the run file with the plan, the prompts, and what they came from.

    steer-NAME/
      run.yaml       the plan, complete: `publius run` does the same as `publius steer`
      prompts.jsonl  the prompts with their splits
      steer.json     the options, the measured speed and the expected seconds
      runs/          one run folder for each state of the constitution

The plan is written once, so a resumed command keeps the numbers of the first one. An edit of the constitution
starts another run in the same folder, which reuses the base model's answers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from constitution.checks import kinds
from constitution.schema import Constitution
from core.errors import RunStateError, shell_command
from core.notices import note
from core.store.files import os_errors, write_atomic
from core.text.yaml_writing import yaml_text
from publius.authoring.steering.plan import SteerPlan
from publius.authoring.steering.prompts import SteerPrompts
from publius.authoring.steering.subject import Subject
from publius.authoring.steering.timing import Speed
from publius.config.overrides import with_overrides
from publius.config.recipe import below, recipe_values
from publius.config.run_file import RunConfig

RECIPE = "compliance"
_PROMPTS_FILE, _FACTS_FILE = "prompts.jsonl", "steer.json"
_CHECKPOINT_EVERY = 10
_JUDGED_PRINCIPLES = 2
"""Principles drawn for each pair that a labeler judges."""
_LENGTHS = ((kinds.MinWords, 2.5), (kinds.MinSentences, 40.0), (kinds.MinCharacters, 0.5))
"""Checks that only a long answer passes, with the tokens of each unit and room to end."""
_MOST_TOKENS = 768
"""Most tokens that an answer gets for such a check."""


@dataclass(frozen=True)
class SteerOptions:
    """The options that a plan depends on."""

    model: str
    minutes: float
    seed: int
    prompts: str | None
    """The file or id of the prompts; None for the demo's."""
    overrides: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the options as JSON-able values, by the name of the option."""
        return {
            "model": self.model,
            "minutes": self.minutes,
            "seed": self.seed,
            "prompts": self.prompts,
            "set": list(self.overrides),
        }


@dataclass(frozen=True)
class WrittenPlan:
    """The facts about a plan that is in a project folder."""

    constitution: str
    """The constitution as the run file names it."""
    signal: str
    options: Mapping[str, Any]
    prompts: str
    """Digest of the prompts that were chosen from."""
    plan: Mapping[str, Any]
    speed: Mapping[str, float]

    def measured(self) -> Speed:
        """Return the measured speed."""
        return Speed(**self.speed)


@dataclass(frozen=True)
class SteerProject:
    """A project folder and the name of its run file."""

    folder: Path
    run_name: str = "run.yaml"

    @property
    def run_file(self) -> Path:
        """Path of the run file."""
        return self.folder / self.run_name

    def facts(self) -> WrittenPlan | None:
        """Return the facts about the last plan in the folder, complete or not; None if there is none."""
        try:
            found = WrittenPlan(**json.loads((self.folder / _FACTS_FILE).read_text(encoding="utf-8")))
            found.measured()
        except (OSError, ValueError, TypeError):
            return None
        return found

    def plan(self) -> WrittenPlan | None:
        """Return the plan in the folder; None if there is none, or a part of it is missing or damaged."""
        complete = self.run_file.is_file() and (self.folder / _PROMPTS_FILE).is_file()
        return self.facts() if complete else None

    def require_same(self, written: WrittenPlan, given: Mapping[str, Any], constitution: str) -> None:
        """Raise RunStateError if the plan is for other options.

        Args:
            written: the plan.
            given: the options that the command was given, by name; those not given are as the plan has them.
            constitution: the constitution as a run file in the folder names it.
        """
        asked = {"CONSTITUTION": constitution, **{f"--{name}": value for name, value in given.items()}}
        planned = {"CONSTITUTION": written.constitution}
        planned |= {f"--{name}": value for name, value in written.options.items()}
        other = [f"{name} {_shown(planned[name])}" for name, value in asked.items() if planned[name] != value]
        if other:
            self.refuse(f"the plan in this folder is for {', '.join(other)}")

    def refuse(self, what: str) -> NoReturn:
        """Raise RunStateError with the ways to plan again."""
        raise RunStateError(
            what,
            where=str(self.run_file),
            accepted="the same options, or another folder for --to; without the file it is planned again",
            run=shell_command("rm", self.run_file),
        )

    def require_own(self) -> None:
        """Raise RunStateError if a plan would replace files that no plan wrote."""
        if (self.folder / _FACTS_FILE).exists():
            return
        for path in (self.run_file, self.folder / _PROMPTS_FILE):
            if path.exists():
                raise RunStateError(
                    "a plan would replace this file, which no plan wrote",
                    where=str(path),
                    accepted="another folder for --to, or for the file of --write",
                )

    def write(
        self, values: Mapping[str, Any], facts: WrittenPlan, prompts: SteerPrompts, command: str
    ) -> None:
        """Write prompts, facts and run file; the run file comes last, as it makes the plan complete."""
        options = ", ".join(f"{name} {_shown(value)}" for name, value in facts.options.items() if value)
        head = (
            f"# Written by `{command}` ({options}).\n"
            "# `publius run` with this file does the same; remove the file to plan again.\n"
        )
        with os_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.run_file.unlink(missing_ok=True)  # else an old one would meet new facts
            text = json.dumps(asdict(facts), indent=2, ensure_ascii=False)
            write_atomic(self.folder / _FACTS_FILE, text + "\n")
            write_atomic(self.folder / _PROMPTS_FILE, prompts.lines())
            if not (self.folder / ".gitignore").exists():
                write_atomic(self.folder / ".gitignore", "/.publius/\n/runs/\n")
            write_atomic(self.run_file, head + yaml_text(dict(values)))
        note(f"the plan: {self.run_file}")


def _shown(value: object) -> str:
    return "(not given)" if value in (None, []) else str(value)


def run_values(subject: Subject, constitution: str, options: SteerOptions, plan: SteerPlan) -> dict[str, Any]:
    """Return the values of the run file of a plan, with all that the recipe gives.

    Args:
        subject: the constitution.
        constitution: how the run file names it.
        options: the options.
        plan: the plan.

    Raises:
        ConfigError: a mistake in an override, which takes precedence over the plan and the recipe.
    """
    recipe, sizes = recipe_values(RECIPE), plan.sizes
    planned: dict[str, Any] = {
        "optim": {"checkpoint_every": _CHECKPOINT_EVERY},
        "choose": {"prompts": sizes.validation},
        "train": list(_methods(plan)),
    }
    if sizes.rounds:
        planned["dpo"] = {"rounds": sizes.rounds}
    if sizes.steps:
        planned["distill"] = {"steps": sizes.steps}
    planned = below(planned, sections_for_length(subject.constitution))
    if plan.signal == "judged":
        # Without SFT there is no model of it whose samples could be compared.
        planned["compare"] = {"from": "prompted", "pairs": "disjoint"}
        planned["dpo"] = {**planned.get("dpo", {}), "init": "base"}
        planned["label"] = {"principles": _JUDGED_PRINCIPLES}
    head = {
        "name": subject.slug,
        "recipe": RECIPE,
        "seed": options.seed,
        "constitution": constitution,
        "prompts": {"path": _PROMPTS_FILE},
        "models": {"policy": {"id": options.model}},
        "time": _time(options.minutes, plan),
    }
    full: Any = with_overrides(RunConfig, {**head, **below(recipe, planned)}, options.overrides)
    values: dict[str, Any] = full
    return values


def _methods(plan: SteerPlan) -> tuple[str, ...]:
    first = () if plan.signal == "judged" else ("sft",)
    pairs = ("dpo",) if plan.sizes.rounds else ()
    return (*first, *pairs, *(("distill",) if plan.sizes.steps else ()))


def _time(minutes: float, plan: SteerPlan) -> dict[str, float]:
    return {
        "minutes": minutes,
        "reserve": round(plan.reserve_s / 60, 2),
        "round": round(plan.round_s / 60, 2),
    }


def sections_for_length(constitution: Constitution) -> dict[str, Any]:
    """Return sections with enough tokens for the checks that only a long answer passes; else nothing."""
    needed = [
        per_unit * principle.check.value
        for principle in constitution.principles
        for kind, per_unit in _LENGTHS
        if isinstance(principle.check, kind)
    ]
    if not needed:
        return {}
    usual: int = recipe_values(RECIPE)["eval"]["sampling"]["max_new_tokens"]
    tokens = max(usual, min(_MOST_TOKENS, math.ceil(max(needed))))
    return {name: {"sampling": {"max_new_tokens": tokens}} for name in ("sample", "compare", "eval")}
