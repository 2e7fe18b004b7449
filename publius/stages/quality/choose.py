"""The choose stage: compare the checkpoints on validation prompts and choose one within limits of quality."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any

from core.digests import digest
from core.errors import DataError, RunStateError
from core.libraries import memory_errors
from core.notices import counted, note, warn
from core.progress import progress
from core.records import SCHEMA_VERSION, Answer, Prompt
from engines.loading import locate
from evaluation.choice import (
    Checkpoint,
    CheckpointChoice,
    ComplianceBasis,
    ExceededLimit,
    checked_answers,
    choose_checkpoint,
)
from evaluation.config import BASE, STEERED, ChooseConfig
from evaluation.measures import finished, sameness, words
from evaluation.neutral.texts import neutral_digest
from evaluation.win_rate import EVEN_WIN_RATE, judge_wins
from labelers.ai import AILabeler
from publius.runs.engines import Engines, conversations
from publius.runs.folder import Run, trained_model
from publius.stages.base import COMMANDS, Stage, StageResult, validation_prompts
from publius.stages.quality.answering import AnsweringPolicy
from publius.stages.quality.evaluated import can_load_policy
from publius.stages.quality.losses import LossMeter, neutral_losses, reference_losses
from publius.stages.quality.policies import Policies
from publius.stages.quality.steered import write_steered
from training.methods import POLICY_METHODS
from training.policy import load_encoder

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
    # All engines before the first request: those that share a model must know all adapters when it loads.
    policies = [
        AnsweringPolicy(run, engines.policy_with(folder), name, _STAGE)
        for name, folder in {BASE: None, **folders}.items()
    ]
    answers = {policy.variant: await policy.answer_all(engines, prompts) for policy in policies}
    answers = _answered_by_all(answers)
    compliance = await _compliance(run, engines, answers)
    engines.keep()  # the losses load the policy itself
    losses = _losses(run, engines, folders)
    found = [
        _checkpoint(place, name, answers[name], compliance, losses)
        for place, name in enumerate((BASE, *folders))
    ]
    limits = run.config.choose or ChooseConfig()
    choice = choose_checkpoint(found[0], found[1:], limits)
    record = _Record(run, limits, compliance.basis, len(answers[BASE]), found, choice)
    chosen = None if choice.chosen is None else folders[choice.chosen.name]
    write_steered(run.folder / STEERED, chosen, record.as_json(folders))
    _report(choice, found[0])
    counts, seconds = engines.take_counts(), time.monotonic() - started
    run.record_stage(_STAGE, len(found), counts, seconds)
    return StageResult(_STAGE, len(found), run.excluded(_STAGE), counts, seconds)


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


def _answered_by_all(answers: Mapping[str, Sequence[Answer]]) -> dict[str, list[Answer]]:
    """Return the answers to the prompts that every policy answered."""
    shared = set.intersection(*({answer.prompt.id for answer in given} for given in answers.values()))
    if not shared:
        raise DataError(
            "no validation prompt was answered by all checkpoints", accepted="a model that answers"
        )
    return {name: [a for a in given if a.prompt.id in shared] for name, given in answers.items()}


@dataclass(frozen=True)
class _Compliance:
    """Exact and graded compliance by the name of the policy."""

    basis: ComplianceBasis
    values: Mapping[str, tuple[float, float | None]]


async def _compliance(run: Run, engines: Engines, answers: Mapping[str, Sequence[Answer]]) -> _Compliance:
    """Return how well the answers follow the constitution, by its checks or else by the judge."""
    checked = {name: checked_answers(given, run.constitution) for name, given in answers.items()}
    values = {name: value for name, value in checked.items() if value is not None}
    if values:
        return _Compliance("checks", values)
    if run.config.models.judge is None:
        return _Compliance("last", {})
    judge = engines.of("judge")
    engines.keep(judge)
    labeler = AILabeler(run.constitution, judge, run.config.label, run.config.seed, run.templates)
    every = [answer for given in answers.values() for answer in given]
    with progress(f"{_STAGE} judge", len(every) - len(answers[BASE])) as task:
        wins = await judge_wins(every, labeler, conversations(run.config.engine), task.advance)
    rates: dict[str, list[float]] = {}
    for win in wins:
        if win.p is not None:
            rates.setdefault(win.variant, []).append(win.p)
    if not rates:
        return _Compliance("last", {})
    judged = {name: (fmean(rates[name]) if name in rates else 0.0, None) for name in answers if name != BASE}
    return _Compliance("judge", {BASE: (EVEN_WIN_RATE, None), **judged})


def _losses(run: Run, engines: Engines, folders: Mapping[str, Path]) -> dict[str, tuple[float, float | None]]:
    """Return the mean losses by policy on neutral text and, if limited, on reference answers."""
    if not can_load_policy(run):
        return {}
    limits = run.config.choose or ChooseConfig()
    encoder = load_encoder(run.config.models.policy)
    policies = Policies(run, folders)
    meter = LossMeter(run, policies, engines.cache)
    found: dict[str, tuple[float, float | None]] = {}
    try:
        with memory_errors("the losses", run.folder, "a model that fits; or engine.device=cpu"):
            for name in (BASE, *folders):
                neutral = fmean(neutral_losses(meter, encoder, name).values())
                reference = None
                if limits.reference_loss is not None:
                    reference = fmean(reference_losses(run, meter, encoder, name).values())
                found[name] = (neutral, reference)
    finally:
        policies.close()
    return found


def _checkpoint(
    place: int,
    name: str,
    answers: Sequence[Answer],
    compliance: _Compliance,
    losses: Mapping[str, tuple[float, float | None]],
) -> Checkpoint:
    exact, graded = compliance.values.get(name, (None, None))
    neutral, reference = losses.get(name, (None, None))
    return Checkpoint(
        name=name,
        trained=place,
        compliance=exact,
        graded=graded,
        finished=fmean(map(finished, answers)),
        sameness=fmean(sameness(answers).values()),
        words=fmean(map(words, answers)),
        neutral_loss=neutral,
        reference_loss=reference,
    )


@dataclass(frozen=True)
class _Record:
    """Everything that a choice is based on."""

    run: Run
    limits: ChooseConfig
    basis: ComplianceBasis
    prompts: int
    checkpoints: Sequence[Checkpoint]
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
            "compliance_by": self.basis,
            "prompts": self.prompts,
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
                for checkpoint in self.checkpoints
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


def _report(choice: CheckpointChoice, base: Checkpoint) -> None:
    """Print which checkpoint was chosen, and which limit excluded a more compliant one."""
    if choice.chosen is None:
        warn(f"choose: the base model stays: {_why_base(choice, base)}")
        return
    note(f"choose: {choice.chosen.name} is copied to {STEERED}/")
    if choice.bound and choice.preferred is not None:
        note(
            f"choose: {choice.preferred.name} {_complies(choice.preferred)} but is excluded: "
            f"{_joined(choice.bound)}"
        )


def _why_base(choice: CheckpointChoice, base: Checkpoint) -> str:
    outside = {name: limits for name, limits in choice.exceeded.items() if limits}
    reasons = [f"{name} is excluded: {_joined(limits)}" for name, limits in outside.items()]
    within = [name for name, limits in choice.exceeded.items() if not limits]
    if within:
        share = "" if base.compliance is None else f" ({100 * base.compliance:.0f} %)"
        names = ", ".join(within)
        verb = "complies" if len(within) == 1 else "comply"
        reasons.insert(0, f"{names} {verb} no better than base{share}")
    return "; ".join(reasons) or "no training of the run has a result"


def _complies(checkpoint: Checkpoint) -> str:
    if checkpoint.compliance is None:
        return "is the last one"
    return f"complies most ({100 * checkpoint.compliance:.0f} %)"


def _joined(limits: Iterable[object]) -> str:
    return " and ".join(map(str, limits))
