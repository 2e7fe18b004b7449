"""The budgets of a run beside what it is expected to spend on servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engines.config import ModelConfig
from engines.endpoint.settings import Budget, Prices
from engines.endpoint.spending import ServerRecord, Traffic
from publius.authoring.estimating.bounds import LABEL, REWARD
from publius.authoring.estimating.result import BudgetUse, CallEstimate
from publius.config.run_file import RunConfig
from publius.runs.engines import EngineRole


def budgets_of(
    config: RunConfig, rows: Iterable[CallEstimate], spent: Iterable[ServerRecord]
) -> tuple[BudgetUse, ...]:
    """Return the use of each budget of a run.

    Args:
        config: configuration of the run.
        rows: the estimated requests.
        spent: what the run and its previews asked of servers so far.
    """
    roles: tuple[EngineRole, ...] = ("policy", "critic", "labeler")
    roles = (*roles, "judge") if config.models.judge else roles
    models = {role: config.models.of(role) for role in roles}
    prices: dict[str, Prices | None] = {}
    for role, model in models.items():
        settings = config.engine.for_model(model, role)
        if settings.kind == "http":
            prices[role] = settings.prices
    asked = [row for row in rows if row.role in prices]
    records = list(spent)
    found = list(_uses("engine.budget", config.engine.budget, asked, prices, records))
    budgeted: list[ModelConfig] = []
    for role in prices:
        model = models[role]
        if model.engine is None or model in budgeted:
            continue
        budgeted.append(model)
        own = [row for row in asked if models[row.role] == model]
        answered = [record for record in records if record.model == model.id]
        found += _uses(f"models.{role}.engine.budget", model.engine.budget, own, prices, answered)
    return tuple(found)


def _uses(
    where: str,
    budget: Budget | None,
    rows: Iterable[CallEstimate],
    prices: dict[str, Prices | None],
    records: Iterable[ServerRecord],
) -> Iterator[BudgetUse]:
    if budget is None:
        return
    before = sum((record.traffic for record in records), Traffic())
    tokens, usd = [0.0, 0.0], [0.0, 0.0]
    for row in rows:
        price = prices[row.role]
        for place, name in enumerate(("expected", "upper")):
            read, written = getattr(row.prompts, name), getattr(row.generated, name)
            if row.purpose in (LABEL, REWARD):
                written = getattr(row.calls, name)  # one token each
            tokens[place] += read + written
            if price is not None:
                usd[place] += (price.input * read + price.output * written) / 1e6
    if budget.tokens is not None:
        yield BudgetUse(f"{where}.tokens", "tokens", budget.tokens, before.tokens, *tokens)
    if budget.usd is not None:
        yield BudgetUse(f"{where}.usd", "usd", budget.usd, before.usd, *usd)
