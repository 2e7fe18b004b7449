"""`publius test`: run the test examples of a constitution's principles.

If a principle has a check, the check must pass the good answer and fail the bad one. A higher score for the
good answer is not enough, since the check applies to single replies. All other principles are judged by the
AI labeler, in both presentation orders, as in a run: the probability that the good answer is better must be
above `min_p`. If the labeler would not answer with a letter, the example is unparsed and counts as failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from constitution.checks.evaluate import evaluate
from constitution.checks.kinds import Check
from constitution.checks.prompted import check_on
from constitution.lint.examples import mixed_uses
from constitution.loader import LoadedConstitution, read_constitution
from constitution.schema import Example, Principle
from core.concurrency import for_each
from core.errors import ConfigError, Problem, RequestError
from core.notices import warn
from core.progress import progress
from core.records import Comparison, Judgment, Message, Prompt
from core.terminal.interrupts import run_interruptibly
from core.text.explain import yaml_line
from engines.cached import CachedEngine
from engines.embedded import EMBEDDED_NAME
from engines.protocols import compares_replies
from labelers.ai import AILabeler, require_labeler
from prompts.environment import PromptTemplates
from publius.runs.engines import EMBEDDED_JUDGES_BY_CHANCE, EngineMaker, make_engine
from publius.runs.one_model import one_model, project_of

ExampleOutcome = Literal["passed", "failed", "unparsed", "skipped"]
OUTCOMES: tuple[ExampleOutcome, ...] = ("passed", "failed", "unparsed", "skipped")
_CONCURRENCY = 32


@dataclass(frozen=True)
class ExamRequest:
    """The test examples to run, and the model that judges them."""

    constitution: str
    model: str
    only: Sequence[str] = ()
    """Ids of principles; if empty, all principles."""
    checks_only: bool = False
    """Skip the examples that need a model."""
    min_p: float = 0.5
    engine: str = "transformers"


@dataclass(frozen=True)
class Exam:
    """One test example with its principle."""

    principle: Principle
    number: int
    """Its position in the principle's examples, from 1."""
    where: str
    example: Example

    @property
    def name(self) -> str:
        """Name of the example in reports."""
        return f"{self.principle.id}[{self.number}]"


@dataclass(frozen=True)
class ExamResult:
    """The result of one test example."""

    exam: Exam
    by: Literal["check", "ai"]
    outcome: ExampleOutcome
    detail: str
    """Explanation of the outcome, in one line."""
    p: float | None = None
    """The labeler's probability that the good answer is better."""
    log_odds: tuple[float, float] | None = None
    """The labeler's log-odds of the good answer, when shown first and when shown second."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values."""
        return {
            "principle": self.exam.principle.id,
            "example": self.exam.number,
            "where": self.exam.where,
            "prompt": self.exam.example.prompt,
            "by": self.by,
            "outcome": self.outcome,
            "told": self.detail,
            "p": self.p,
            "log_odds": self.log_odds,
        }


@dataclass(frozen=True)
class ExamReport:
    """The results of all test examples."""

    loaded: LoadedConstitution
    results: tuple[ExamResult, ...]
    untested: tuple[str, ...]
    """Requested principles without a test example."""
    model: str | None
    """The judging model; None if no example needed a model."""

    def count(self, outcome: ExampleOutcome) -> int:
        """Return the number of examples with the given outcome."""
        return sum(result.outcome == outcome for result in self.results)

    @property
    def failed(self) -> bool:
        """True if an example failed or was not parsed."""
        return self.count("failed") + self.count("unparsed") > 0

    def as_json(self) -> dict[str, Any]:
        """Return the results as JSON-able values."""
        return {
            "name": self.loaded.constitution.name,
            "digest": self.loaded.constitution.digest,
            "model": self.model,
            "counts": {outcome: self.count(outcome) for outcome in OUTCOMES},
            "untested": list(self.untested),
            "results": [result.as_json() for result in self.results],
        }


def run_exams(request: ExamRequest, make: EngineMaker = make_engine) -> ExamReport:
    """Run the test examples of a constitution and return the results.

    Raises:
        ConfigError: if the constitution is invalid, a principle is unknown, or a prompt is used in both a
            few-shot and a test example of one principle.
    """
    loaded = read_constitution(request.constitution)
    chosen = [loaded.constitution.principle(name).id for name in request.only]
    exams = [exam for exam in _exams(loaded) if not chosen or exam.principle.id in chosen]
    by_check = [_by_check(exam, exam.principle.check) for exam in exams if exam.principle.check is not None]
    judged = [exam for exam in exams if exam.principle.check is None]
    model = None
    if request.checks_only:
        by_model = [ExamResult(exam, "ai", "skipped", "needs a model") for exam in judged]
    elif judged:
        with one_model(request.model, project_of(request.constitution), make, request.engine) as engine:
            model, by_model = engine.model, _by_model(loaded, judged, engine, request.min_p)
    else:
        by_model = []
    results = {result.exam.name: result for result in (*by_check, *by_model)}
    asked = chosen or [principle.id for principle in loaded.constitution.principles]
    tested = {exam.principle.id for exam in exams}
    untested = tuple(name for name in asked if name not in tested)
    return ExamReport(loaded, tuple(results[exam.name] for exam in exams), untested, model)


def _exams(loaded: LoadedConstitution) -> Iterator[Exam]:
    """Yield the test examples. Raises ConfigError, which lists all prompts also used in few-shot examples."""
    principles = list(enumerate(loaded.constitution.principles))
    mixed = [
        hit for i, principle in principles for hit in mixed_uses(principle, ("principles", i, "examples"))
    ]
    if mixed:
        raise ConfigError.of([Problem(hit.what, loaded.where(*hit.loc), hit.hint) for hit in mixed])
    for index, principle in principles:
        for number, example in enumerate(principle.examples):
            if example.use == "test":
                where = loaded.where("principles", index, "examples", number)
                yield Exam(principle, number + 1, where, example)


def _by_check(exam: Exam, check: Check) -> ExamResult:
    asked = check_on(check, exam.example.prompt)
    good, bad = evaluate(asked, exam.example.good), evaluate(asked, exam.example.bad)
    detail = "; ".join(
        f"the {name} answer {'passes' if result.passed else 'fails'} {check.kind} {yaml_line(check.value)}"
        f" (score {result.score:.2f})"
        for name, result, wanted in (("good", good, True), ("bad", bad, False))
        if result.passed is not wanted
    )
    return ExamResult(exam, "check", "failed" if detail else "passed", detail or f"by {check.kind}")


def _by_model(
    loaded: LoadedConstitution, exams: Sequence[Exam], engine: CachedEngine, min_p: float
) -> list[ExamResult]:
    templates = PromptTemplates()
    if compares_replies(engine):
        raise ConfigError(
            "a reward model reads no principle, so examples of principles say nothing about it",
            where=engine.model,
            accepted="a language model; publius audit labeler measures a reward model",
        )
    require_labeler(engine, templates)
    if engine.model == EMBEDDED_NAME:
        warn(f"{EMBEDDED_JUDGES_BY_CHANCE}; set --model to a larger model for meaningful results")
    labeler = AILabeler(loaded.constitution, engine, templates=templates)
    results: list[ExamResult] = []

    with progress("test", len(exams)) as task:

        async def work(exam: Exam) -> None:
            results.append(await _judged(exam, labeler, min_p))
            task.advance()

        run_interruptibly(for_each(exams, work, _CONCURRENCY))
    return results


async def _judged(exam: Exam, labeler: AILabeler, min_p: float) -> ExamResult:
    prompt = Prompt.of((Message(role="user", content=exam.example.prompt),), source="test")
    comparison = Comparison.of(prompt, (exam.example.good, "good"), (exam.example.bad, "bad"))
    try:
        judgment = await labeler.judge(comparison, exam.principle)
    except RequestError as error:
        return ExamResult(exam, "ai", "unparsed", str(error))
    return _outcome(exam, judgment, min_p, good_is_a=comparison.origin_a == "good")


def _outcome(exam: Exam, judgment: Judgment, min_p: float, *, good_is_a: bool) -> ExamResult:
    assert judgment.orders is not None, "the AI labeler judges in both orders"
    first, second = judgment.orders.a_first, judgment.orders.b_first
    if not good_is_a:
        first, second = -second, -first
    odds = f"log-odds {first:+.2f} shown first, {second:+.2f} shown second"
    if judgment.p_a is None:
        detail = f"the model would write {judgment.raw}; {odds}"
        return ExamResult(exam, "ai", "unparsed", detail, None, (first, second))
    p = judgment.p_a if good_is_a else 1 - judgment.p_a
    return ExamResult(
        exam, "ai", "passed" if p > min_p else "failed", f"p = {p:.3f}, {odds}", p, (first, second)
    )
