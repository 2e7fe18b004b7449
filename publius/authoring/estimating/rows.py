"""The rows of an estimate: the requests of each stage and purpose, with their bounds and tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from labelers.modes.written import VERDICT_PURPOSE
from publius.authoring.estimating.bounds import (
    CRITIQUE_PURPOSE,
    LABEL_PURPOSE,
    REVISION_PURPOSE,
    REWARD_PURPOSE,
    CallBounds,
    StageFacts,
)
from publius.authoring.estimating.dry import AskedRequests
from publius.authoring.estimating.result import Bounds, CallEstimate
from publius.authoring.estimating.stages import DryStages
from publius.authoring.estimating.typical import TypicalPrompts
from publius.runs.engines import EngineRole

_CRITIC, _LABELER = (CRITIQUE_PURPOSE, REVISION_PURPOSE), (LABEL_PURPOSE, VERDICT_PURPOSE, REWARD_PURPOSE)


async def estimated_rows(dry: DryStages, typical: TypicalPrompts) -> tuple[CallEstimate, ...]:
    """Return the requests of the dry run with their bounds, and those that other answers would lead to."""
    return tuple([row async for row in _rows(dry, typical)])


def stoppable(row: CallEstimate) -> CallEstimate:
    """Return a row of a run that a budget may end before all of its requests are sent."""
    return replace(
        row,
        calls=row.calls._replace(lower=0),
        generated=row.generated._replace(lower=0),
        prompts=row.prompts._replace(lower=0),
    )


async def _rows(dry: DryStages, typical: TypicalPrompts) -> AsyncIterator[CallEstimate]:
    bounds = dry.certain.bounds
    for stage, facts in dry.facts.items():
        seen = {key[1:]: row for key, row in dry.ledger.rows.items() if key[0] == stage}
        for purpose in bounds.purposes(stage):
            # The model of a role that has nothing to do is not looked for.
            if bounds.most(stage, purpose, facts) and not any(name == purpose for name, _ in seen):
                seen[purpose, dry.engines.of(_role(stage, purpose)).model] = AskedRequests()
        for (purpose, model), row in seen.items():
            calls = bounds.of(stage, purpose, row, facts)
            if not (row.asked or row.reused or calls.most):
                continue
            role = _role(stage, purpose)
            if row.asked:
                each = row.prompt_tokens / row.asked
            else:
                each, by_characters = await typical.tokens(purpose, role) if calls.most else (0.0, False)
                row = replace(row, by_characters=by_characters)
            served = dry.engines.settings(role).kind == "http"
            yield _estimated(bounds, facts, (stage, role, purpose, model), row, each, served)


def _estimated(
    bounds: CallBounds,
    facts: StageFacts,
    names: tuple[str, EngineRole, str, str],
    row: AskedRequests,
    each: float,
    served: bool,
) -> CallEstimate:
    """Return a row of the estimate; `each` is the number of tokens of a prompt."""
    stage, _, purpose, _ = names
    calls = bounds.of(stage, purpose, row, facts)
    repeated = 0 if facts.settled else bounds.quoted(stage, purpose)
    return CallEstimate(
        *names,
        calls=Bounds(calls.fewest, row.asked, calls.most),
        reused=row.reused,
        prompts=Bounds(
            calls.fewest * max(0.0, each - repeated), row.prompt_tokens, calls.most * (each + repeated)
        ),
        generated=Bounds(
            # A server need not say how many tokens it wrote.
            0 if purpose in _LABELER or served else calls.fewest,
            row.generated_tokens,
            calls.most * bounds.limit(stage, purpose),
        ),
        by_characters=row.by_characters,
    )


def _role(stage: str, purpose: str) -> EngineRole:
    if purpose in _CRITIC:
        return "critic"
    if purpose in _LABELER:
        return "judge" if stage in ("eval", "choose") else "labeler"
    return "policy"
