"""Measures of a run's checkpoints on the validation prompts and on neutral text, for the choice of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from core.errors import DataError
from core.libraries import memory_errors
from core.progress import progress
from core.records import Answer, Prompt
from evaluation.choice import Checkpoint, ComplianceBasis, checked_answers
from evaluation.config import BASE, ChooseConfig
from evaluation.measures import finished, sameness, words
from evaluation.win_rate import EVEN_WIN_RATE, judge_wins
from labelers.ai import AILabeler
from publius.runs.engines import Engines, conversations
from publius.runs.folder import Run
from publius.stages.base import Stage
from publius.stages.judges.trained import judged_constitution
from publius.stages.quality.answering import AnsweringPolicy
from publius.stages.quality.evaluated import can_load_policy
from publius.stages.quality.losses import LossMeter, neutral_losses, reference_losses
from publius.stages.quality.policies import Policies
from training.policy import load_encoder

_STAGE: Stage = "choose"


@dataclass(frozen=True)
class Measured:
    """The base model and all candidates with their measures."""

    base: Checkpoint
    candidates: Sequence[Checkpoint]
    basis: ComplianceBasis
    prompts: int
    """Number of validation prompts that all of them answered."""


async def measure_checkpoints(
    run: Run, engines: Engines, prompts: Sequence[Prompt], folders: Mapping[str, Path]
) -> Measured:
    """Measure the base model and the checkpoints; what was measured before comes from the request cache."""
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
    base, *candidates = (
        _checkpoint(place, name, answers[name], compliance, losses)
        for place, name in enumerate((BASE, *folders))
    )
    return Measured(base, candidates, compliance.basis, len(answers[BASE]))


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
    constitution = judged_constitution(run.constitution, Path(run.config.models.of("judge").id))
    labeler = AILabeler(constitution, judge, run.config.label, run.config.seed, run.templates)
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
