"""The choose stage: compare the checkpoints on validation prompts and choose one within limits of quality."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from core.digests import digest
from core.errors import DataError, RunStateError
from core.notices import counted, note, warn
from core.records import SCHEMA_VERSION, Prompt
from engines.loading import locate
from evaluation.choice import (
    Checkpoint,
    CheckpointChoice,
    ComplianceBasis,
    ExceededLimit,
    choose_checkpoint,
    exceeded_limits,
)
from evaluation.config import STEERED, ChooseConfig
from evaluation.neutral.texts import neutral_digest
from publius.runs.engines import Engines
from publius.runs.folder import Run
from publius.runs.parts.trained import trained_model
from publius.stages.base import COMMANDS, Stage, StageResult, validation_prompts
from publius.stages.quality.measured import Measured, measure_checkpoints
from publius.stages.quality.steered import write_steered
from publius.stages.quality.weaker import WEAKER, can_weaken, weakened
from training.methods import POLICY_METHODS

_STAGE: Stage = "choose"


async def choose_stage(run: Run, engines: Engines) -> StageResult:
    """Choose the most compliant checkpoint within the limits, and copy it to `steered/`.

    Answers and losses come from the request cache where they were computed before.

    Raises:
        RunStateError: if no policy of the run is trained.
        DataError: if the run has no prompts to compare the checkpoints on.
    """
    started = time.monotonic()
    engines.take_counts()
    run.forget_failures(_STAGE)
    folders = run.checkpoints()
    # A training that had nothing to learn from leaves no checkpoint: then the base model stays.
    if not folders and not run.manifest["stages"].keys() & set(POLICY_METHODS):
        raise RunStateError(
            "the run has no trained policy to choose from",
            where=str(run.folder),
            run=f"{COMMANDS['sft']} RUN.yaml, or publius run RUN.yaml for all stages",
        )
    prompts = _validation_prompts(run)
    measured = await measure_checkpoints(run, engines, prompts, folders)
    limits = run.config.choose or ChooseConfig()
    choice = choose_checkpoint(measured.base, measured.candidates, limits)
    for weaker in _weaker_forms(run, choice, folders, measured.basis):
        folders = {**folders, **weaker}
        measured = await measure_checkpoints(run, engines, prompts, folders)
        if not exceeded_limits(measured.candidates[-1], measured.base, limits):
            break
    choice = choose_checkpoint(measured.base, measured.candidates, limits)
    record = _Record(run, limits, measured, choice)
    chosen = None if choice.chosen is None else folders[choice.chosen.name]
    write_steered(run.folder / STEERED, chosen, record.as_json(folders))
    _report(choice, measured)
    counts, seconds = engines.take_counts(), time.monotonic() - started
    run.record_stage(_STAGE, len(folders) + 1, counts, seconds)
    return StageResult(_STAGE, len(folders) + 1, run.excluded(_STAGE), counts, seconds)


def _weaker_forms(
    run: Run, choice: CheckpointChoice, folders: Mapping[str, Path], basis: ComplianceBasis
) -> Iterator[dict[str, Path]]:
    """Yield weaker forms of the most compliant checkpoint by name, from strong to weak, if it is excluded."""
    if not choice.bound or choice.preferred is None:
        return
    name = choice.preferred.name
    limits = run.config.choose or ChooseConfig()
    if not limits.weaker or not can_weaken(folders[name]):
        return
    note(f"choose: {name} {_complies(choice.preferred, basis)} but is excluded: {_joined(choice.bound)}")
    for share in sorted(limits.weaker, reverse=True):
        weaker = f"{name}@{share:g}"
        note(f"choose: trying {name} at {share:g} of its strength")
        yield {weaker: weakened(folders[name], share, run.folder / WEAKER / weaker)}


def _validation_prompts(run: Run) -> list[Prompt]:
    prompts = validation_prompts(run)
    if not prompts:
        raise DataError(
            "no prompts to compare the checkpoints on",
            where=str(run.config.prompts.path),
            accepted="at least two prompts of the splits train and preference",
        )
    if run.config.choose is None:
        note(
            f"choose: {counted(len(prompts), 'prompt')} that the run did not hold out from training; to hold "
            "them out, add the section `choose: {}` to the run file"
        )
    return prompts


@dataclass(frozen=True)
class _Record:
    """Everything that a choice is based on."""

    run: Run
    limits: ChooseConfig
    measured: Measured
    choice: CheckpointChoice

    def as_json(self, folders: Mapping[str, Path]) -> dict[str, Any]:
        """Return the content of `choice.json`; its digest is that of all other values."""
        chosen = self.choice.chosen
        policy = self.run.config.models.policy
        weights = {name: locate(trained_model(folder, policy)).identity for name, folder in folders.items()}
        content = {
            "schema_version": SCHEMA_VERSION,
            "chosen": None if chosen is None else chosen.name,
            "constitution": self.run.constitution.digest,
            "compliance_by": self.measured.basis,
            "prompts": self.measured.prompts,
            "held_out": self.run.config.choose is not None,
            "texts": neutral_digest(),
            "limits": self.limits.model_dump(mode="json", exclude={"prompts"}),
            "bound": [self._exceeded(limit) for limit in self.choice.bound],
            "preferred": None if self.choice.preferred is None else self.choice.preferred.name,
            "checkpoints": [
                {
                    **_finite(asdict(checkpoint)),
                    "weights": weights.get(checkpoint.name),
                    "exceeds": [self._exceeded(e) for e in self.choice.exceeded.get(checkpoint.name, ())],
                }
                for checkpoint in (self.measured.base, *self.measured.candidates)
            ],
        }
        return {**content, "digest": digest(content)[:32]}

    def _exceeded(self, limit: ExceededLimit) -> dict[str, Any]:
        return _finite({**asdict(limit), "by": limit.by})


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with None for what JSON has no number for, such as the loss of a broken model."""
    return {
        name: None if isinstance(value, float) and not isfinite(value) else value
        for name, value in values.items()
    }


def _report(choice: CheckpointChoice, measured: Measured) -> None:
    """Print which checkpoint was chosen, and which limit excluded a more compliant one."""
    if choice.chosen is None:
        warn(f"choose: the base model stays: {_why_base(choice, measured)}")
        return
    note(f"choose: {choice.chosen.name} is copied to {STEERED}/")
    if choice.bound and choice.preferred is not None:
        note(
            f"choose: {choice.preferred.name} {_complies(choice.preferred, measured.basis)} but is excluded: "
            f"{_joined(choice.bound)}"
        )


def _why_base(choice: CheckpointChoice, measured: Measured) -> str:
    outside = {name: limits for name, limits in choice.exceeded.items() if limits}
    reasons = [f"{name} is excluded: {_joined(limits)}" for name, limits in outside.items()]
    within = [name for name, limits in choice.exceeded.items() if not limits]
    if within:
        share = "" if measured.base.compliance is None else f" ({_share(measured.base, measured.basis)})"
        names = ", ".join(within)
        verb = "complies" if len(within) == 1 else "comply"
        reasons.insert(0, f"{names} {verb} no better than base{share}")
    return "; ".join(reasons) or "no training of the run has a result"


def _complies(checkpoint: Checkpoint, basis: ComplianceBasis) -> str:
    return "is the last one" if basis == "last" else f"complies most ({_share(checkpoint, basis)})"


def _share(checkpoint: Checkpoint, basis: ComplianceBasis) -> str:
    """Return the compliance in words; a judge's errors are in it, as no people judged these answers."""
    of = " of wins over base by the judge, not corrected by people" if basis == "judge" else ""
    return f"{100 * (checkpoint.compliance or 0.0):.0f} %{of}"


def _joined(limits: Iterable[object]) -> str:
    return " and ".join(map(str, limits))
