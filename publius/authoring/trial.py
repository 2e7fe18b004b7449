"""`publius try`: critique, revise and label one prompt in seconds, without a run folder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from constitution.loader import load_constitution
from constitution.schema import Constitution
from core.errors import ConfigError
from core.records import Comparison, CritiqueTrace, Judgment, Message, Prompt, Sampling
from core.terminal.interrupts import run_interruptibly
from critique.comparisons import draft_against_revision
from critique.config import CritiqueConfig, CritiqueSampling, DraftSampling, RevisionSampling
from critique.loop import CritiqueLoop
from critique.requests import needs_beginning
from engines.cached import CachedEngine
from labelers.ai import AILabeler, require_labeler
from labelers.check import check_judgments
from labelers.config import LabelConfig
from prompts.environment import PromptTemplates
from publius.runs.engines import EngineMaker, make_engine
from publius.runs.one_model import one_model, project_of

_ANSWER_TOKENS, _CRITIQUE_TOKENS = 112, 64


@dataclass(frozen=True)
class Trial:
    """Options of a trial."""

    constitution: str
    against: str | None
    prompt: str
    model: str
    rounds: int
    seed: int
    engine: str = "transformers"


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial under one constitution."""

    constitution: Constitution
    trace: CritiqueTrace
    comparison: Comparison | str
    judgments: tuple[Judgment, ...]


def run_trial(trial: Trial, make: EngineMaker = make_engine) -> list[TrialResult]:
    """Run a trial under the constitution and, if `against` is given, under that one too."""
    if not trial.prompt.strip():
        raise ConfigError("the prompt is empty", where="--prompt", accepted="some text")
    names = [trial.constitution, *([trial.against] if trial.against else [])]
    constitutions = [load_constitution(name) for name in names]
    with one_model(trial.model, project_of(trial.constitution), make, trial.engine) as engine:
        require_labeler(engine, PromptTemplates())
        return run_interruptibly(_all(trial, constitutions, engine))


async def _all(
    trial: Trial, constitutions: Sequence[Constitution], engine: CachedEngine
) -> list[TrialResult]:
    return list(await asyncio.gather(*(_one(trial, c, engine) for c in constitutions)))


async def _one(trial: Trial, constitution: Constitution, engine: CachedEngine) -> TrialResult:
    shared = Sampling(temperature=0.4, top_p=0.9).model_dump(include={"temperature", "top_p"})
    config = CritiqueConfig(
        rounds=trial.rounds,
        draft=DraftSampling(**shared, max_new_tokens=_ANSWER_TOKENS),
        critique=CritiqueSampling(**shared, max_new_tokens=_CRITIQUE_TOKENS),
        revision=RevisionSampling(**shared, max_new_tokens=_ANSWER_TOKENS),
        drop=("unchanged", "empty"),
    )
    prompt = Prompt.of((Message(role="user", content=trial.prompt),), source="try")
    begun = needs_beginning(engine.parameters)
    trace = await CritiqueLoop(constitution, engine, engine, config, trial.seed, begun=begun).trace(prompt)
    comparison = draft_against_revision(trace)
    if isinstance(comparison, str):
        return TrialResult(constitution, trace, comparison, ())
    label = LabelConfig(principles=2)
    judged = await AILabeler(constitution, engine, label, trial.seed).label(comparison)
    checked = tuple(check_judgments(comparison, constitution, label.check_confidence))
    return TrialResult(constitution, trace, comparison, (*judged, *checked))
