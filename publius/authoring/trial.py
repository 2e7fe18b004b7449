"""`publius try`: critique, revise and label a few prompts in seconds, without a run folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from constitution.checks.findings import finding, finding_for_people, matched_texts
from constitution.checks.prompted import check_on
from constitution.draw import in_scope
from constitution.loader import load_constitution
from constitution.schema import Constitution, Principle
from core.errors import ConfigError, DataError
from core.progress import ProgressTask, progress
from core.records import Comparison, CritiqueTrace, Judgment, Prompt, Sampling
from core.terminal.interrupts import run_interruptibly
from critique.comparisons import draft_against_revision
from critique.config import CritiqueConfig, CritiqueSampling, DraftSampling, RevisionSampling
from critique.loop import CritiqueLoop
from critique.requests import needs_beginning
from engines.cached import CachedEngine
from labelers.ai import AILabeler, require_labeler
from labelers.check import check_judgments
from labelers.config import LabelConfig
from labelers.crowd.aggregate import Settled, aggregated_outcome
from prompts.environment import PromptTemplates
from publius.authoring.given import GivenPrompts, note_given, read_given, warn_of_unknown_tags
from publius.runs.engines import EngineMaker, Engines, make_engine
from publius.runs.one_model import engines_of_model, project_of
from publius.sources.texts.reading import UNSAID, TextReading
from publius.stages.base import live_note
from publius.stages.judges.audits import judge_caveats

ANSWER_TOKENS = 112
"""Longest draft and revision if no limit is given, so that a look at rules takes seconds."""
_CRITIQUE_TOKENS = 64
_JUDGED = 2
"""Judged principles if none is named: those of the rounds first, then drawn ones."""
_TELLING = 0.005
"""Contribution to the overall probability from which a principle is named."""
NO_CLEAR_DIFFERENCE = 0.05
"""A revision whose probability is nearer to one half is neither better nor worse."""


@dataclass(frozen=True)
class Trial:
    """Options of a trial."""

    constitution: str
    prompts: tuple[str, ...]
    model: str
    against: str | None = None
    file: Path | None = None
    """File of further prompts, each with its own tags."""
    limit: int = 5
    """Number of prompts to take from the file."""
    tags: tuple[str, ...] = ()
    """Tags that all prompts have, in addition to their own."""
    principles: tuple[str, ...] = ()
    """Ids of the principles to criticise and judge under; if empty, they are drawn."""
    rounds: int = 1
    seed: int = 0
    engine: str = "transformers"
    columns: Mapping[str, str] = field(default_factory=dict)
    """The column of the file of prompts for each of ours, such as the tags'."""
    reading: TextReading = UNSAID
    """How texts of the file are read: HTML, quoted mail and signatures."""
    max_new_tokens: int = ANSWER_TOKENS
    """Longest draft and revision."""
    worst: bool = False
    """True to criticise under the rule that the answer breaks, and under none that its check keeps."""


@dataclass(frozen=True)
class CheckOutcome:
    """What a machine check says of the draft and of the last answer that was kept."""

    principle: Principle
    applies: bool
    """False if the principle is not for this prompt."""
    draft: str | None
    """What the draft breaks; None if it passes, or the principle does not apply."""
    last: str | None
    matched: tuple[str, ...] = ()
    """The texts that a forbidden pattern matches, of the last answer or else of the draft."""

    @property
    def why(self) -> str:
        """What the last answer, or else the draft, breaks: of a pattern the texts that it matched."""
        found, check = self.last or self.draft, self.principle.check
        return finding_for_people(self.principle.text, check, found, self.matched) if found and check else ""


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial of one prompt under one constitution."""

    constitution: Constitution
    trace: CritiqueTrace
    comparison: Comparison | str
    judgments: tuple[Judgment, ...]
    drawn_from: int = 0
    """Number of principles from which the judged ones were drawn; 0 if they were named."""
    chosen: tuple[str, ...] = ()
    """Ids of the principles that the user named and that apply to the prompt."""

    @property
    def checks(self) -> tuple[CheckOutcome, ...]:
        """The outcome of every machine check of the constitution."""
        return tuple(_outcomes(self.constitution, self.trace))

    @property
    def cut_off(self) -> tuple[bool, bool]:
        """Whether the draft ends at the token limit, and whether the last answer that was kept does."""
        draft, *_, last = (self.trace.initial, *self.trace.answers())
        return draft.finish_reason == "length", last.finish_reason == "length"

    @property
    def p_revision(self) -> float | str:
        """Probability that the last revision is better than the draft, or why there is none."""
        settled = self._settled
        return settled if isinstance(settled, str) else self._of_revision(settled.p_a)

    @property
    def decided_by(self) -> tuple[str, ...]:
        """The principles that speak for the answer that is better overall, in order of their contribution."""
        settled = self._settled
        if isinstance(settled, str) or settled.p_a == 0.5:
            return ()
        side = 1 if settled.p_a > 0.5 else -1
        telling = {name: side * share for name, share in settled.shares.items() if side * share > _TELLING}
        return tuple(sorted(telling, key=lambda name: (-telling[name], name)))

    @property
    def _settled(self) -> Settled | str:
        if isinstance(self.comparison, str):
            return self.comparison
        return aggregated_outcome(self.comparison, self.judgments, self.constitution)

    def p_of(self, judgment: Judgment) -> float | None:
        """Return the probability of a judgment that the revision is better; None if it is unparsed."""
        return None if judgment.p_a is None else self._of_revision(judgment.p_a)

    def _of_revision(self, p_a: float) -> float:
        assert isinstance(self.comparison, Comparison)
        return p_a if self.comparison.origin_a != "draft" else 1 - p_a

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        overall = self.p_revision
        return {
            "constitution": self.constitution.name,
            "digest": self.constitution.digest,
            "cut_off": dict(zip(("draft", "last"), self.cut_off, strict=True)),
            "trace": self.trace.model_dump(mode="json"),
            "checks": [
                {
                    "principle": outcome.principle.id,
                    "applies": outcome.applies,
                    "draft": outcome.draft,
                    "last": outcome.last,
                }
                for outcome in self.checks
            ],
            "judgments": [judgment.model_dump(mode="json") for judgment in self.judgments],
            "decided_by": list(self.decided_by),
            "p_revision": None if isinstance(overall, str) else overall,
            "why_none": overall if isinstance(overall, str) else None,
        }


@dataclass(frozen=True)
class Tried:
    """The results of a trial: for each prompt one under each constitution."""

    prompts: tuple[tuple[TrialResult, ...], ...]
    left: int = 0
    """Prompts of the file beyond the limit."""
    given: GivenPrompts | None = None
    """What was read of the file."""
    caveats: tuple[str, ...] = ()
    """What is known against the model's judgments."""
    max_new_tokens: int = ANSWER_TOKENS

    def as_json(self) -> dict[str, Any]:
        """Return the results as JSON-able values."""
        return {
            "max_new_tokens": self.max_new_tokens,
            "prompts": [[result.as_json() for result in results] for results in self.prompts],
            "left": self.left,
            "caveats": list(self.caveats),
            "file": None if self.given is None else self.given.as_json(),
        }


def verdict_of_revision(p: float | str) -> str:
    """Return `better`, `worse`, `no difference`, or `not compared` for a reason in place of a probability."""
    if isinstance(p, str):
        return "not compared"
    if abs(p - 0.5) < NO_CLEAR_DIFFERENCE:
        return "no difference"
    return "better" if p > 0.5 else "worse"


def run_trial(trial: Trial, make: EngineMaker = make_engine) -> Tried:
    """Run a trial of each prompt under the constitution and, if `against` is given, under that one too.

    Raises:
        ConfigError: if a prompt is empty, a principle is unknown or does not apply to a prompt, or
            principles are named beside `worst`.
        DataError: if the file of prompts cannot be read, or has none that can be used.
    """
    if trial.worst and trial.principles:
        raise ConfigError("found --principle as well", where="--worst", accepted="one of both")
    names = [trial.constitution, *([trial.against] if trial.against else [])]
    constitutions = [load_constitution(name) for name in names]
    warn_of_unknown_tags(trial.tags, constitutions)
    given = read_given(trial.file, trial.columns, reading=trial.reading) if trial.file else None
    note_given(given)
    prompts, left = _prompts(trial, given)
    chosen = _chosen(constitutions[0], trial.principles, prompts)
    project = project_of(trial.constitution)
    with (
        engines_of_model(trial.model, project, make, trial.engine) as engines,
        progress("try", len(prompts)) as task,
    ):
        task.note(f"preparing {trial.model}")  # its libraries and tokenizer take a while
        engine = engines.of("policy")
        require_labeler(engine, PromptTemplates())
        trials = [_PromptTrial(trial, c, engine, _named(c, chosen)) for c in constitutions]
        caveats = judge_caveats(engines, LabelConfig(principles=_JUDGED), PromptTemplates(), project)
        results = run_interruptibly(_all(prompts, trials, engines, task))
        return Tried(results, left, given, caveats, trial.max_new_tokens)


def _prompts(trial: Trial, from_file: GivenPrompts | None) -> tuple[tuple[Prompt, ...], int]:
    """Return the prompts with their tags, and the number of those of the file beyond the limit."""
    if not all(text.strip() for text in trial.prompts):
        raise ConfigError("the prompt is empty", where="--prompt", accepted="some text")
    given = [Prompt.of(text, source="try") for text in trial.prompts]
    read = from_file.prompts if from_file else ()
    if trial.file and not read:
        raise DataError("no prompt can be used", where=str(trial.file), accepted="at least one prompt")
    taken = [*given, *read[: trial.limit]]
    tagged = (p.model_copy(update={"tags": tuple(dict.fromkeys((*p.tags, *trial.tags)))}) for p in taken)
    return tuple(tagged), max(0, len(read) - trial.limit)


def _chosen(
    constitution: Constitution, ids: Sequence[str], prompts: Sequence[Prompt]
) -> tuple[Principle, ...]:
    """Return the named principles.

    Raises:
        ConfigError: one is unknown, or applies to none of the prompts.
    """
    chosen = tuple(constitution.principle(name) for name in dict.fromkeys(ids))
    for principle in chosen:
        if not any(in_scope(principle, prompt) for prompt in prompts):
            scope = principle.applies_to
            tags = f"--tag {' or --tag '.join(scope.tags)}" if scope and scope.tags else None
            pattern = f"a prompt that matches {scope.pattern!r}" if scope and scope.pattern else None
            raise ConfigError(
                f"the principle {principle.id!r} does not apply to any of the prompts",
                where="--principle",
                accepted=" and ".join(filter(None, (tags, pattern))) or "a prompt outside of its `except`",
            )
    return chosen


def _named(constitution: Constitution, chosen: Sequence[Principle]) -> tuple[Principle, ...]:
    """Return the principles of a constitution with the ids of the chosen ones."""
    return tuple(found for one in chosen if (found := constitution.find(one.id)) is not None)


async def _all(
    prompts: Sequence[Prompt], trials: Sequence[_PromptTrial], engines: Engines, task: ProgressTask
) -> tuple[tuple[TrialResult, ...], ...]:
    """Return the results of each prompt; meanwhile the progress line counts tokens."""

    async def run(prompt: Prompt) -> tuple[TrialResult, ...]:
        results = await asyncio.gather(*(one.run(prompt) for one in trials))
        task.advance()
        return tuple(results)

    async with live_note(task, engines, time.monotonic()):
        return tuple(await asyncio.gather(*(run(prompt) for prompt in prompts)))


@dataclass(frozen=True)
class _PromptTrial:
    """A trial under one constitution, of one prompt at a time."""

    trial: Trial
    constitution: Constitution
    engine: CachedEngine
    chosen: tuple[Principle, ...]

    async def run(self, prompt: Prompt) -> TrialResult:
        """Return the draft, its critiques, revisions, checks and labels."""
        seed, constitution = self.trial.seed, self.constitution
        chosen = tuple(principle for principle in self.chosen if in_scope(principle, prompt))
        begun = needs_beginning(self.engine.parameters)
        loop = CritiqueLoop(
            constitution, self.engine, self.engine, self._config, seed, begun=begun, chosen=chosen
        )
        trace = await loop.trace(prompt)
        comparison = draft_against_revision(trace)
        if isinstance(comparison, str):
            return TrialResult(constitution, trace, comparison, (), chosen=tuple(p.id for p in chosen))
        label = LabelConfig(principles=_JUDGED)
        labeler = AILabeler(constitution, self.engine, label, seed)
        asked = chosen or _judged(trace, constitution, labeler.principles_for(comparison))
        judged = await asyncio.gather(
            *(labeler.judge(comparison, principle) for principle in asked if principle.check is None)
        )
        checked = check_judgments(comparison, constitution, label.check_confidence)
        drawn_from = 0 if chosen else self._judged_principles(prompt)
        named = tuple(principle.id for principle in chosen)
        return TrialResult(constitution, trace, comparison, (*judged, *checked), drawn_from, named)

    def _judged_principles(self, prompt: Prompt) -> int:
        """Return the number of principles for a prompt that no machine check decides."""
        return sum(p.check is None and in_scope(p, prompt) for p in self.constitution.steering)

    @property
    def _config(self) -> CritiqueConfig:
        shared = Sampling(temperature=0.4, top_p=0.9).model_dump(include={"temperature", "top_p"})
        return CritiqueConfig(
            rounds=self.trial.rounds,
            draft=DraftSampling(**shared, max_new_tokens=self.trial.max_new_tokens),
            critique=CritiqueSampling(**shared, max_new_tokens=_CRITIQUE_TOKENS),
            revision=RevisionSampling(**shared, max_new_tokens=self.trial.max_new_tokens),
            principles="worst" if self.trial.worst else "random",
            early_stop="checks" if self.trial.worst else "auto",
            drop=("unchanged", "empty"),
        )


def _judged(
    trace: CritiqueTrace, constitution: Constitution, drawn: Sequence[Principle]
) -> tuple[Principle, ...]:
    """Return the principles of the rounds that a model judges, filled up with drawn ones."""
    criticised = (constitution.principle(revision.principle_id) for revision in trace.revisions)
    first = dict.fromkeys(p.id for p in criticised if p.check is None)
    ids = list(dict.fromkeys((*first, *(p.id for p in drawn))))[: max(_JUDGED, len(first))]
    return tuple(constitution.principle(name) for name in ids)


def _outcomes(constitution: Constitution, trace: CritiqueTrace) -> Iterator[CheckOutcome]:
    """Yield what each machine check says of a trace's draft and last answer."""
    draft, *_, last = (trace.initial, *trace.answers())
    for principle in constitution.principles:
        if principle.check is not None:
            applies = in_scope(principle, trace.prompt)
            check = check_on(principle.check, trace.prompt)
            first, final = (finding(check, answer.text) if applies else None for answer in (draft, last))
            failing = last if final else draft if first else None
            matched = matched_texts(check, failing.text) if failing else ()
            yield CheckOutcome(principle, applies, first, final, matched)
