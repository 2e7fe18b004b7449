"""`publius check`: a constitution linted, against prompts and by a model where these are given."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from constitution.lint.codes import CODES, SEVERITIES, LintRule, find_code
from constitution.lint.linter import Finding, LintReport, lint_report
from constitution.lint.subject import Hit, LintContext
from constitution.loader import LoadedConstitution, read_constitution
from core.concurrency import for_each
from core.notices import counted, note, warn
from core.progress import progress
from core.records import Prompt
from engines.cached import CachedEngine
from engines.embedded import EMBEDDED_NAME
from labelers.conflict import CONFLICT_TEMPLATE, ConflictJudge, ConflictJudgment, judged_pairs, nearest_pairs
from labelers.questions import LETTERS
from prompts.environment import PromptTemplates
from prompts.sources import admissions
from publius.config.run_file import SplitConfig, load_run_config
from publius.runs.engines import NEAR_CHANCE, EngineMaker, make_engine
from publius.runs.one_model import EngineKind, one_model, project_of

CONFLICTING = 0.5
"""Above this probability two principles are told as conflicting."""
_CONCURRENCY = 32


@dataclass(frozen=True)
class JudgedRequest:
    """Which model judges conflicts, and how many pairs at most."""

    model: str
    budget: int
    engine: EngineKind = "transformers"


@dataclass(frozen=True)
class CheckRequest:
    """What to check, and against what."""

    constitution: str
    prompts: Path | None = None
    run: Path | None = None
    judged: JudgedRequest | None = None


@dataclass(frozen=True)
class JudgedConflicts:
    """What a model's judging of conflicts came to."""

    model: str
    pairs: int
    """All pairs of judged principles that can be about the same prompt."""
    asked: int
    """Those that the budget allowed."""
    unparsed: int


@dataclass(frozen=True)
class CheckedConstitution:
    """A constitution with its findings."""

    loaded: LoadedConstitution
    report: LintReport
    judged: JudgedConflicts | None = None

    def fails(self, *, strict: bool) -> bool:
        """Return whether there are errors, or with `strict` warnings."""
        return self.report.count("error") > 0 or (strict and self.report.count("warning") > 0)

    def as_json(self) -> dict[str, Any]:
        """Return all that was found as JSON-able values."""
        constitution = self.loaded.constitution
        return {
            "name": constitution.name,
            "digest": constitution.digest,
            "principles": [principle.id for principle in constitution.principles],
            "machine_checkable": [p.id for p in constitution.principles if p.check is not None],
            "findings": [_named(finding) for finding in self.report.findings],
            "silenced": [_named(finding) for finding in self.report.silenced],
            "counts": {severity: self.report.count(severity) for severity in SEVERITIES},
            "judged": None if self.judged is None else asdict(self.judged),
        }


@dataclass(frozen=True)
class CodesExplained:
    """The lint codes that `--explain` was asked about."""

    rules: tuple[LintRule, ...]

    def as_json(self) -> list[dict[str, Any]]:
        """Return the codes as JSON-able values."""
        return [asdict(rule) for rule in self.rules]


def check_constitution(request: CheckRequest, make: EngineMaker = make_engine) -> CheckedConstitution:
    """Return the findings about a constitution.

    Raises:
        ConfigError: for mistakes that keep it from being a constitution, all at once.
        DataError: for a prompts file that cannot be read.
    """
    loaded = read_constitution(request.constitution)
    context = LintContext(_prompts(request), PromptTemplates().principle_defaults())
    if request.judged is None:
        return CheckedConstitution(loaded, lint_report(loaded, context))
    asked = request.judged
    with one_model(asked.model, project_of(request.constitution), make, asked.engine) as engine:
        judged, judgments = _judge(loaded, engine, asked.budget)
    hits = _conflicts(loaded, judgments, judged.model)
    return CheckedConstitution(loaded, lint_report(loaded, context, hits), judged)


def explain_codes(code: str) -> CodesExplained:
    """Return what a lint code stands for, or all of them for `all`. Raises ConfigError if there is none."""
    return CodesExplained(tuple(CODES.values()) if code == "all" else (find_code(code),))


def _prompts(request: CheckRequest) -> tuple[Prompt, ...] | None:
    """Return the prompts as a run takes them in; None where none are given."""
    if request.run is not None:
        config = load_run_config(request.run)
        taken = admissions(config.prompts.path, config.split.shares(), config.prompts.limit)
    elif request.prompts is not None:
        taken = admissions(request.prompts, SplitConfig().shares(), None)
    else:
        return None
    return tuple(admission.prompt for admission in taken if not admission.reason)


def _judge(
    loaded: LoadedConstitution, engine: CachedEngine, budget: int
) -> tuple[JudgedConflicts, list[ConflictJudgment]]:
    """Return what the model says of the pairs that the budget allows, those nearest in words first."""
    templates, constitution = PromptTemplates(names=(CONFLICT_TEMPLATE,)), loaded.constitution
    engine.require_choices(templates.prefill(CONFLICT_TEMPLATE), LETTERS)
    pairs = judged_pairs(constitution)
    chosen = nearest_pairs(constitution, pairs, budget)
    note(f"{engine.model} judges {len(chosen):,} of {counted(len(pairs), 'pair')}, 2 questions each")
    if engine.model == EMBEDDED_NAME:
        warn(
            f"{NEAR_CHANCE}; of 12 plain conflicts between principles it found none: name another by --model"
        )
    judge, judgments = ConflictJudge(templates, engine), list[ConflictJudgment]()

    with progress("judge", len(chosen)) as task:

        async def work(pair: tuple[int, int]) -> None:
            judgments.append(await judge.judge(constitution, *pair))
            task.advance()

        asyncio.run(for_each(chosen, work, _CONCURRENCY))
    unparsed = sum(judgment.p is None for judgment in judgments)
    return JudgedConflicts(engine.model, len(pairs), len(chosen), unparsed), judgments


def _conflicts(loaded: LoadedConstitution, judgments: list[ConflictJudgment], model: str) -> Iterator[Hit]:
    for judgment in judgments:
        if judgment.p is not None and judgment.p > CONFLICTING:
            other = loaded.constitution.principles[judgment.first].id
            what = f"p = {judgment.p:.2f} that a reply which follows {other!r} breaks this, says {model}"
            hint = "reword one, or give them different scopes or sections"
            yield Hit("L601", ("principles", judgment.second, "text"), what, hint, (judgment.first,))


def _named(finding: Finding) -> dict[str, str]:
    return {**asdict(finding), "name": CODES[finding.code].name}
