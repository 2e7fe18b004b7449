"""`publius check`: lint a constitution, optionally with prompts and a model that judges conflicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from constitution.checks.kinds import PhraseListName
from constitution.checks.wording import phrase_list
from constitution.lint.codes import CODES, SEVERITIES, LintRule, find_code
from constitution.lint.linter import Finding, LintReport, lint_report
from constitution.lint.subject import Hit, LintContext
from constitution.loader import LoadedConstitution, read_constitution
from core.concurrency import for_each
from core.notices import counted, note, warn
from core.progress import progress
from core.terminal.interrupts import run_interruptibly
from engines.cached import CachedEngine
from engines.embedded import EMBEDDED_NAME
from labelers.conflict import CONFLICT_TEMPLATE, ConflictJudge, ConflictJudgment, judged_pairs, nearest_pairs
from labelers.questions import LETTERS
from prompts.environment import PromptTemplates
from prompts.user_templates import user_templates
from publius.authoring.given import GivenPrompts, prompts_of_run, read_given
from publius.config.run_file import load_run_config
from publius.runs.engines import EMBEDDED_JUDGES_BY_CHANCE, EngineMaker, make_engine
from publius.runs.one_model import one_model, project_of
from publius.stages.quality.refusing import held_out_refusals, trained_words, warn_of_trained

CONFLICTING = 0.5
"""Two principles are reported as conflicting above this probability."""
_CONCURRENCY = 32


@dataclass(frozen=True)
class JudgedRequest:
    """The model that judges conflicts, and the maximum number of pairs that it judges."""

    model: str
    budget: int
    engine: str = "transformers"


@dataclass(frozen=True)
class CheckRequest:
    """A constitution to check, and optional prompts, run file and judging model."""

    constitution: str
    prompts: Path | None = None
    run: Path | None = None
    judged: JudgedRequest | None = None
    templates: Path | None = None
    """Folder of templates to check; None for that of the run file."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The column of the file of prompts for each of ours, such as the tags'."""


@dataclass(frozen=True)
class JudgedConflicts:
    """Counts of the pairs of principles that a model judged for conflicts."""

    model: str
    pairs: int
    """Number of pairs of judged principles that can apply to the same prompt."""
    asked: int
    """Number of pairs that were judged, within the budget."""
    unparsed: int


@dataclass(frozen=True)
class CheckedConstitution:
    """A constitution with its findings."""

    loaded: LoadedConstitution
    report: LintReport
    judged: JudgedConflicts | None = None
    given: GivenPrompts | None = None
    """The prompts that it was checked with."""

    def fails(self, *, strict: bool) -> bool:
        """Return True if there are errors or, with `strict`, warnings."""
        return self.report.count("error") > 0 or (strict and self.report.count("warning") > 0)

    def as_json(self) -> dict[str, Any]:
        """Return the findings as JSON-able values."""
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
            "prompts": None if self.given is None else self.given.as_json(),
        }


@dataclass(frozen=True)
class CodesExplained:
    """The lint codes requested by `--explain`."""

    rules: tuple[LintRule, ...]

    def as_json(self) -> list[dict[str, Any]]:
        """Return the codes as JSON-able values."""
        return [asdict(rule) for rule in self.rules]


@dataclass(frozen=True)
class PhrasesExplained:
    """The phrases of a list that `phrase_list` checks take, requested by `--explain`."""

    name: str
    phrases: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the list as JSON-able values."""
        return asdict(self)


def check_constitution(request: CheckRequest, make: EngineMaker = make_engine) -> CheckedConstitution:
    """Return the findings about a constitution.

    Raises:
        ConfigError: if the constitution is invalid; reports all errors at once.
        DataError: if the prompts file cannot be read.
    """
    loaded = read_constitution(request.constitution)
    given = _prompts(request)
    context = LintContext(None if given is None else given.prompts, _templates(request).principle_defaults())
    if request.judged is None:
        return CheckedConstitution(loaded, lint_report(loaded, context), given=given)
    asked = request.judged
    with one_model(asked.model, project_of(request.constitution), make, asked.engine) as engine:
        judged, judgments = _judge(loaded, engine, asked.budget)
    hits = _conflicts(loaded, judgments, judged.model)
    return CheckedConstitution(loaded, lint_report(loaded, context, hits), judged, given)


def explained(code: str) -> CodesExplained | PhrasesExplained:
    """Return the explanation of a lint code, or of `all` codes, or the phrases of a built-in list.

    Raises:
        ConfigError: There is no such code and no such list.
    """
    if code in get_args(PhraseListName):
        return PhrasesExplained(code, phrase_list(code))
    return CodesExplained(tuple(CODES.values()) if code == "all" else (find_code(code),))


def _templates(request: CheckRequest) -> PromptTemplates:
    """Return the templates that a run would use. Raises ConfigError for each mistake in them."""
    named = request.templates
    if named is None and request.run is not None:
        named = load_run_config(request.run).templates
    return user_templates(named)


def _prompts(request: CheckRequest) -> GivenPrompts | None:
    """Return the prompts that a run would use, or None if no prompts are given."""
    if request.run is not None:
        config = load_run_config(request.run)
        given = prompts_of_run(config.prompts, config.split)
        if config.eval.refusals is not None and config.train:
            trained = trained_words(given.prompts)
            warn_of_trained(held_out_refusals(config.eval.refusals, config.eval.refusal_prompts, trained))
        return given
    return None if request.prompts is None else read_given(request.prompts, request.columns)


def _judge(
    loaded: LoadedConstitution, engine: CachedEngine, budget: int
) -> tuple[JudgedConflicts, list[ConflictJudgment]]:
    """Return the model's judgments of the pairs within the budget, most similar texts first."""
    templates, constitution = PromptTemplates(names=(CONFLICT_TEMPLATE,)), loaded.constitution
    engine.require_choices(templates.prefill(CONFLICT_TEMPLATE), LETTERS)
    pairs = judged_pairs(constitution)
    chosen = nearest_pairs(constitution, pairs, budget)
    note(f"{engine.model} judges {len(chosen):,} of {counted(len(pairs), 'pair')}, with 2 requests each")
    if engine.model == EMBEDDED_NAME:
        warn(
            f"{EMBEDDED_JUDGES_BY_CHANCE}: it found none of 12 obvious conflicts; "
            "set --model to a larger model"
        )
    judge, judgments = ConflictJudge(templates, engine), list[ConflictJudgment]()

    with progress("judge", len(chosen)) as task:

        async def work(pair: tuple[int, int]) -> None:
            judgments.append(await judge.judge(constitution, *pair))
            task.advance()

        run_interruptibly(for_each(chosen, work, _CONCURRENCY))
    unparsed = sum(judgment.p is None for judgment in judgments)
    return JudgedConflicts(engine.model, len(pairs), len(chosen), unparsed), judgments


def _conflicts(loaded: LoadedConstitution, judgments: list[ConflictJudgment], model: str) -> Iterator[Hit]:
    for judgment in judgments:
        if judgment.p is not None and judgment.p > CONFLICTING:
            other = loaded.constitution.principles[judgment.first].id
            what = f"following {other!r} breaks this principle with p = {judgment.p:.2f}, judged by {model}"
            hint = "reword one, or give them different scopes or sections"
            yield Hit("L601", ("principles", judgment.second, "text"), what, hint, (judgment.first,))


def _named(finding: Finding) -> dict[str, str]:
    return {**asdict(finding), "name": CODES[finding.code].name}
