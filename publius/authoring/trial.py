"""`publius try`: one prompt through the loop and the labeler, in seconds, without a run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from constitution.checks.evaluate import evaluate
from constitution.draw import in_scope
from constitution.loader import load_constitution
from constitution.schema import Constitution
from core.errors import ConfigError
from core.records import Comparison, CritiqueTrace, Judgment, Message, Prompt, Sampling
from critique.comparisons import draft_against_revision
from critique.config import CritiqueConfig, CritiqueSampling, DraftSampling, RevisionSampling
from critique.loop import CritiqueLoop
from engines.protocols import Engine
from labelers.ai import AILabeler, require_labeler
from labelers.check import check_judgments
from labelers.config import LabelConfig
from prompts.environment import PromptTemplates
from publius.console import heading, out, word_diff
from publius.run.engines import EngineMaker, make_engine
from publius.run.one_model import one_model, project_of

_ANSWER_TOKENS, _CRITIQUE_TOKENS = 112, 64


@dataclass(frozen=True)
class Trial:
    """What to try."""

    constitution: str
    against: str | None
    prompt: str
    model: str
    rounds: int
    seed: int


@dataclass(frozen=True)
class TrialResult:
    """One constitution's outcome."""

    constitution: Constitution
    trace: CritiqueTrace
    comparison: Comparison | str
    judgments: tuple[Judgment, ...]


def run_trial(trial: Trial, make: EngineMaker = make_engine) -> list[TrialResult]:
    """Return the outcome under the constitution, and under the older one where one is given."""
    if not trial.prompt.strip():
        raise ConfigError("found an empty text", where="--prompt", accepted="some text")
    names = [trial.constitution, *([trial.against] if trial.against else [])]
    constitutions = [load_constitution(name) for name in names]
    with one_model(trial.model, project_of(trial.constitution), make) as engine:
        require_labeler(engine, PromptTemplates())
        return asyncio.run(_all(trial, constitutions, engine))


async def _all(trial: Trial, constitutions: Sequence[Constitution], engine: Engine) -> list[TrialResult]:
    return list(await asyncio.gather(*(_one(trial, c, engine) for c in constitutions)))


async def _one(trial: Trial, constitution: Constitution, engine: Engine) -> TrialResult:
    templates = PromptTemplates()
    shared = Sampling(temperature=0.4, top_p=0.9).model_dump(include={"temperature", "top_p"})
    config = CritiqueConfig(
        rounds=trial.rounds,
        draft=DraftSampling(**shared, max_new_tokens=_ANSWER_TOKENS),
        critique=CritiqueSampling(**shared, max_new_tokens=_CRITIQUE_TOKENS),
        revision=RevisionSampling(**shared, max_new_tokens=_ANSWER_TOKENS),
        drop=("unchanged", "empty"),
    )
    prompt = Prompt.of((Message(role="user", content=trial.prompt),), source="try")
    trace = await CritiqueLoop(constitution, templates, config, engine, engine, trial.seed).trace(prompt)
    comparison = draft_against_revision(trace)
    if isinstance(comparison, str):
        return TrialResult(constitution, trace, comparison, ())
    label = LabelConfig(principles=2)
    labeler = AILabeler(constitution, templates, label, engine, trial.seed)
    judged = [labeler.judge(comparison, principle) for principle in labeler.principles_for(comparison)]
    checked = tuple(check_judgments(comparison, constitution, label.check_confidence))
    return TrialResult(constitution, trace, comparison, (*await asyncio.gather(*judged), *checked))


def print_trial(results: Sequence[TrialResult]) -> None:
    """Print each outcome for people; the draft, which no constitution changes, once."""
    heading("Prompt")
    out.print(Text(results[0].trace.prompt.messages[-1].content))
    heading("Draft")
    out.print(Text(results[0].trace.initial.text))
    for result in results:
        if len(results) > 1:
            heading(f"— under {result.constitution.name} ({result.constitution.digest[:8]}) —")
        _print_rounds(result)
        _print_checks(result)
        _print_labels(result)
    if len(results) > 1:
        heading("From the other constitution's answer to this one's (words taken out, words put in)")
        out.print(word_diff(results[1].trace.answers()[-1].text, results[0].trace.answers()[-1].text))


def _print_rounds(result: TrialResult) -> None:
    answer = result.trace.initial
    for revision in result.trace.revisions:
        principle = result.constitution.principle(revision.principle_id)
        heading(f"Round {revision.round}: {principle.id}")
        out.print(Text(principle.text, style="italic"))
        out.print(Text(f"\nCritique: {revision.critique.text}"))
        flags = f" ({', '.join(revision.flags)})" if revision.flags else ""
        kept = "" if revision.kept else ", not kept"
        out.print(Text(f"\nRevision{flags}{kept}, words taken out and put in:"))
        out.print(word_diff(answer.text, revision.candidates[-1].text))
        answer = revision.candidates[-1] if revision.kept else answer


def _print_checks(result: TrialResult) -> None:
    for principle in result.constitution.principles:
        if principle.check is not None and in_scope(principle, result.trace.prompt):
            marks = " -> ".join(
                "pass" if evaluate(principle.check, answer.text).passed else "fail"
                for answer in result.trace.answers()
            )
            out.print(f"\nCheck {principle.id}: {marks}")


def _print_labels(result: TrialResult) -> None:
    heading("Label: is the last revision better than the draft?")
    if isinstance(result.comparison, str):
        out.print(f"no comparison: {result.comparison}")
        return
    a_is_revision = result.comparison.origin_a != "draft"
    for judgment in result.judgments:
        if judgment.p_a is None:
            out.print(f"{judgment.principle_id}: unparsed, the model would write {judgment.raw}")
            continue
        p = judgment.p_a if a_is_revision else 1 - judgment.p_a
        out.print(
            f"{judgment.principle_id} [{judgment.labeler}]: p = {p:.2f}{_orders(judgment, a_is_revision)}"
        )


def _orders(judgment: Judgment, a_is_revision: bool) -> str:
    """Return what each presentation order said of the revision, in log-odds; nothing for a machine check."""
    if judgment.orders is None:
        return ""
    first, second = judgment.orders.a_first, judgment.orders.b_first
    if not a_is_revision:
        first, second = -second, -first
    return f"  (log-odds {first:+.2f} shown first, {second:+.2f} shown second)"
