"""What an audit by tenet will ask, before it asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from constitution.draw import in_scope
from core.notices import counted
from engines.config import WITHOUT_WEIGHTS
from evaluation.tenets.passages import MOST_PASSAGES
from prompts.scenarios.file import Scenario
from publius.audit.tenets.answering import ScenarioAnswers, is_played, scenario_turns
from publius.audit.tenets.subjects import AuditSubjects, ModelAuditRequest
from publius.runs.engines import Engines


@dataclass(frozen=True)
class TenetAuditPlan:
    """Numbers of requests of an audit."""

    variants: int
    scenarios: int
    replies: int
    """Replies of all variants."""
    cached_conversations: int | None
    """Conversations whose first reply is in the request cache; None if a server's models answer."""
    generated_tokens: int
    """Tokens of the replies if each reaches its limit."""
    user_messages: int
    """Messages that a model writes as the user."""
    ratings: int
    """Questions to the judge."""
    citations: int
    """Largest number of further questions to the judge, for the passages that violations are cited by."""

    def as_json(self) -> dict[str, Any]:
        """Return the numbers as JSON-able values."""
        return asdict(self)

    def line(self) -> str:
        """Return the numbers in words."""
        known, written = self.cached_conversations, self.user_messages
        parts = [
            f"{counted(self.variants, 'variant')}, {counted(self.scenarios, 'scenario')}",
            f"answers: {self.replies:,} of at most {self.generated_tokens:,} tokens together"
            + (f", {counted(known, 'conversation')} begun in the request cache" if known else ""),
            f"messages of the simulated user: {written:,}" if written else "",
            f"questions to the judge: {self.ratings:,} and, for citations, at most {self.citations:,}",
        ]
        return "; ".join(filter(None, parts))


def tenet_audit_plan(
    request: ModelAuditRequest,
    audited: AuditSubjects,
    scenarios: Sequence[Scenario],
    answers: ScenarioAnswers,
    engines: Engines,
    unjudged: frozenset[str],
) -> TenetAuditPlan:
    """Return what an audit will ask of its models."""
    subjects, samples = audited.subjects, request.samples
    conversations = len(subjects) * samples
    simulated = audited.user is not None
    turns = sum(scenario_turns(one, simulated=simulated) for one in scenarios)
    judged = sum(
        scenario_turns(one, simulated=simulated) * _judged_tenets(one, request, audited, unjudged)
        for one in scenarios
    )
    tenets = {p.id for p in audited.constitution.principles if p.check is None} - unjudged
    if not request.all_tenets:
        tenets &= {one.tenet for one in scenarios}
    violations = min(conversations * judged, len(subjects) * len(tenets) * request.cited)
    played = (
        sum(scenario_turns(one, simulated=True) - 1 for one in scenarios if is_played(one))
        if simulated
        else 0
    )
    return TenetAuditPlan(
        variants=len(subjects),
        scenarios=len(scenarios),
        replies=conversations * turns,
        cached_conversations=_cached(request, audited, scenarios, answers, engines),
        generated_tokens=conversations * turns * audited.sampling.max_new_tokens,
        user_messages=conversations * played,
        ratings=conversations * judged,
        citations=violations * MOST_PASSAGES,
    )


def _judged_tenets(
    scenario: Scenario, request: ModelAuditRequest, audited: AuditSubjects, unjudged: frozenset[str]
) -> int:
    """Return the number of tenets that the judge rates a conversation under."""
    own = audited.constitution.principle(scenario.tenet)
    prompt = scenario.prompt(own)
    return sum(
        principle.check is None
        and principle.id not in unjudged
        and (principle.id == own.id or (request.all_tenets and in_scope(principle, prompt)))
        for principle in audited.constitution.principles
    )


def _cached(
    request: ModelAuditRequest,
    audited: AuditSubjects,
    scenarios: Sequence[Scenario],
    answers: ScenarioAnswers,
    engines: Engines,
) -> int | None:
    if audited.engine.kind in WITHOUT_WEIGHTS:
        return None
    return sum(
        engines.of_model(subject.model).knows(answers.first_request(subject, scenario, sample))
        for subject in audited.subjects
        for scenario in scenarios
        for sample in range(request.samples)
    )
