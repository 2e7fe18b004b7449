"""The budgets of a run beside what it is expected to spend on servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engines.config import EngineConfig, ModelConfig
from engines.endpoint.settings import Budget, Prices
from engines.endpoint.spending import ServerRecord, Traffic
from publius.authoring.estimating.result import BudgetUse, CallEstimate
from publius.config.run_file import RunConfig
from publius.runs.engines import EngineRole

_ROLES: tuple[EngineRole, ...] = ("policy", "critic", "labeler", "judge")


def served_engines(config: RunConfig) -> dict[EngineRole, EngineConfig]:
    """Return the settings of the roles whose models are behind servers."""
    found: dict[EngineRole, EngineConfig] = {}
    for role in _ROLES:
        if role != "judge" or config.models.judge is not None:
            settings = config.engine.for_model(config.models.of(role), role)
            if settings.kind == "http":
                found[role] = settings
    return found


def budgets_of(
    config: RunConfig, rows: Iterable[CallEstimate], spent: Iterable[ServerRecord]
) -> tuple[BudgetUse, ...]:
    """Return the use of each budget of a run.

    Args:
        config: configuration of the run.
        rows: the estimated requests.
        spent: what the run and its previews asked of servers so far.
    """
    prices: dict[str, Prices | None] = {}
    models: dict[str, ModelConfig] = {}
    for role, settings in served_engines(config).items():
        prices[role], models[role] = settings.prices, config.models.of(role)
    asked = [row for row in rows if row.role in prices]
    records = list(spent)
    found = list(_uses("engine.budget", config.engine.budget, asked, prices, records))
    budgeted: list[ModelConfig] = []
    for name, model in models.items():
        if model.engine is None or model in budgeted:
            continue
        budgeted.append(model)
        own = [row for row in asked if models[row.role] == model]
        answered = [record for record in records if record.model == model.id]
        found += _uses(f"models.{name}.engine.budget", model.engine.budget, own, prices, answered)
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
            read, written = getattr(row.prompts, name), getattr(row.billed, name)
            tokens[place] += read + written
            if price is not None:
                usd[place] += (price.input * read + price.output * written) / 1e6
    if budget.tokens is not None:
        yield BudgetUse(f"{where}.tokens", "tokens", budget.tokens, before.tokens, *tokens)
    if budget.usd is not None:
        yield BudgetUse(f"{where}.usd", "usd", budget.usd, before.usd, *usd)
