"""Prices of models and of the machine: from the run file (`engine.prices`), or from a table that users edit.

The table is `prices.yaml` beside the run file, unless `--prices` names another:

    models:                                        # US dollars per million tokens
      Qwen/Qwen3-8B: {input: 0.05, output: 0.20}   # by the id in models.ROLE.id
    hour: 2.50                                     # US dollars per hour of this machine
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from core.settings import Section
from core.store.files import is_there
from core.text.yaml_file import read_yaml, validate
from publius.config.run_file import RunConfig
from publius.runs.engines import EngineRole

PRICES_FILE = "prices.yaml"
"""Name of the table beside a run file."""
_MILLION = 1_000_000

_Dollars = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class TokenPrice(Section):
    """Price of a model, in US dollars per million tokens."""

    input: _Dollars
    """Per million tokens of the prompts."""
    output: _Dollars = 0.0
    """Per million tokens of the answers, thoughts included."""

    def usd(self, prompt_tokens: float, generated_tokens: float) -> float:
        """Return the price of so many tokens, in US dollars."""
        return (prompt_tokens * self.input + generated_tokens * self.output) / _MILLION


class PriceTable(Section):
    """Prices as a user writes them."""

    models: dict[str, TokenPrice] = Field(default={})
    """The price of each model, by its id."""
    hour: _Dollars | None = None
    """US dollars per hour of the machine that runs models itself and trains; null if it costs nothing."""


class RunPrices(NamedTuple):
    """The prices of a run."""

    by_role: dict[str, TokenPrice]
    """The price of each role's model; those without a price are not in it."""
    hour: float | None
    """US dollars per hour of this machine."""
    source: str
    """Where the prices are from; empty if there are none."""


def prices_of(config: RunConfig, project: Path, file: Path | None = None) -> RunPrices:
    """Return the prices of a run.

    Args:
        config: configuration of the run; prices of a model's engine in it take precedence.
        project: folder of the run file, in which the table is.
        file: another table.

    Raises:
        ConfigError: if the table cannot be read, or has something else than prices in it.
    """
    path = file or project / PRICES_FILE
    table, sources = PriceTable(), []
    if file is not None or is_there(path):
        document = read_yaml(path)
        table = validate(document, PriceTable, document.value or {})
        sources.append(str(path))
    found: dict[str, TokenPrice] = {}
    roles: tuple[EngineRole, ...] = (
        "policy",
        "critic",
        "labeler",
        *(("judge",) if config.models.judge else ()),
    )
    for role in roles:
        model = config.models.of(role)
        own = getattr(config.engine.for_model(model), "prices", None)  # only engines behind a server have it
        if own is not None:
            found[role] = TokenPrice(input=own.input, output=own.output)
            sources.append("engine.prices")
        elif model.id in table.models:
            found[role] = table.models[model.id]
    return RunPrices(found, table.hour, ", ".join(dict.fromkeys(sources)))
