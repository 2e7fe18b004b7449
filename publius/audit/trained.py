"""`publius eval --model`: measure a trained policy against the model before, on prompts of the user's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.notices import note
from core.store.files import os_errors
from publius.config.run_file import build_run_config
from publius.models.trained_folder import TrainedFolder, read_trained_folder
from publius.runs.engines import EngineMaker, make_engine
from publius.runs.folder import Run
from publius.runs.project import DEFAULT_PRESET
from publius.sources.splits.mapping import described_others, held_out_splits
from publius.stages.outcome import RunOutcome
from publius.stages.prompts import PromptIngestion
from publius.stages.runner import StagePlan, run_plan
from publius.stages.variants import PROMPTED

_NAME_CHARACTERS = 40


@dataclass(frozen=True)
class TrainedEvaluation:
    """A trained policy, and what to measure it on."""

    model: Path
    prompts: str
    """A file, folder or Hugging Face id."""
    constitution: str | None = None
    """None measures no compliance with principles of the user's own, and has no variant `prompted`."""
    against: str | None = None
    project: Path = Path()
    """Folder for `runs/` and the request cache."""
    overrides: Sequence[str] = ()
    strict: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    """The data set's column for each of ours, as in `prompts.columns` of a run file."""


def evaluate_trained(request: TrainedEvaluation, make: EngineMaker = make_engine) -> RunOutcome:
    """Answer the prompts with a trained policy and the model before, and write a report as a run does.

    The run folder has the trained folder's name in its own, and a link to it. It resumes, and everything
    that reads evaluated runs reads it.

    Raises:
        PubliusError: for any error that the user can fix. Completed work is saved.
    """
    trained = read_trained_folder(request.model, request.against)
    config = build_run_config(_settings(request, trained), request.overrides)
    if request.strict:
        config = config.with_strict_gates()
    note(f"{trained.method} model {request.model}, against {trained.policy.id}")
    ingestion = PromptIngestion(config.prompts, config.split)

    def ingest(run: Run) -> None:
        ingestion(run)
        _link(run.folder / trained.method, trained.folder)

    plan = StagePlan(config, request.project, ("eval",), ingest, check=ingestion.check)
    return run_plan(plan, make)


def _settings(request: TrainedEvaluation, trained: TrainedFolder) -> dict[str, Any]:
    """Return the run file of the evaluation: all prompts are held out, and nothing is trained."""
    own = request.constitution is not None
    judged = any(override.startswith("models.judge") for override in request.overrides)
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", trained.folder.name).strip("-.")[:_NAME_CHARACTERS]
    return {
        # The weights have no part in a run's identity, so they are in its name.
        "name": f"eval-{label or trained.method}-{trained.digest[:8]}",
        "constitution": request.constitution or DEFAULT_PRESET,
        "prompts": _prompts_of(request),
        "split": {"train": 0, "preference": 0, "test": 1},
        "models": {"policy": trained.policy.model_dump(mode="json", exclude_defaults=True)},
        "eval": {"models": ["base", *([PROMPTED] if own else []), trained.method]},
        # Nothing is labelled, so a model that cannot label is measured, too. A judge needs principles.
        **({} if judged else {"label": {"principles": 0}}),
    }


def _prompts_of(request: TrainedEvaluation) -> dict[str, Any]:
    """Return where the prompts come from: of a data set with a held-out split that split."""
    found: dict[str, Any] = {"path": request.prompts}
    if request.columns:
        found["columns"] = dict(request.columns)
    if any(override.startswith(("prompts.split", "prompts.subset")) for override in request.overrides):
        return found
    splits = held_out_splits(request.prompts)
    if splits is not None:
        others = described_others(request.prompts, {splits["test"]})
        note(
            f"{Path(request.prompts).name}: the split {splits['test']} is answered; others: {others}; "
            "--set prompts.split=NAME answers another one"
        )
        found["split"] = splits["test"]
    return found


def _link(link: Path, folder: Path) -> None:
    """Make a link to the trained folder where a run has its own; a link to a former place is replaced."""
    with os_errors(link):
        if link.is_symlink() and link.resolve() != folder:
            link.unlink()
        if not link.exists():
            link.symlink_to(folder, target_is_directory=True)
