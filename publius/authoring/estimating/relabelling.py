"""What it takes to label a run's comparisons again: tokens, seconds and US dollars of the requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.store.cache import RequestCache
from engines.cached import CachedEngine
from engines.protocols import ChoiceRequest, GenerationRequest
from publius.authoring.estimating.budgets import served_engines
from publius.authoring.estimating.dry import tokens_by_characters
from publius.authoring.estimating.lengths import RECENT, AnswerLengths
from publius.authoring.estimating.prices import RunPrices, prices_of
from publius.authoring.estimating.speeds import KnownSpeed, known_speed
from publius.config.run_file import RunConfig

_HOUR_S = 3600.0
_LABELER = "labeler"


class LabelTokens:
    """Counts the tokens of requests to the labeler.

    Args:
        engine: the labeler's engine.
        cache: the project's answers, whose lengths are expected of texts that the labeler writes.
    """

    def __init__(self, engine: CachedEngine, cache: RequestCache) -> None:
        self._engine = engine
        self._lengths = AnswerLengths(cache.recent(RECENT))
        self.prompts = 0
        self.generated = 0.0
        """Expected tokens of reasons and grades that the labeler writes; a choice takes none."""
        self.choices = 0
        """Requests for a choice, for each of which a server bills one token."""
        self.by_characters = False

    def add(self, request: ChoiceRequest | GenerationRequest) -> None:
        """Count one request."""
        tokens = self._engine.prompt_tokens(request)
        self.by_characters |= tokens is None
        self.prompts += tokens_by_characters(request) if tokens is None else tokens
        if isinstance(request, GenerationRequest):
            length = self._lengths.of(self._engine.model, request.purpose, request.sampling)
            self.generated += length.tokens
        else:
            self.choices += 1


@dataclass(frozen=True)
class RelabellingCost:
    """Tokens of the requests that are sent to the labeler, and the time and price of them."""

    prompt_tokens: int
    generated_tokens: float
    by_characters: bool
    """True if tokens of prompts are estimated from their characters."""
    is_served: bool
    """True if a server runs the labeler, whose speed is not known."""
    speed: KnownSpeed | None
    prices: RunPrices = field(repr=False)
    choices: int = 0
    """Requests for a choice, for each of which a server bills one token."""

    @property
    def seconds(self) -> float | None:
        """Expected seconds of this machine; None without a speed, and for a server."""
        if self.speed is None or self.is_served:
            return None
        speed = self.speed.speed
        return self.prompt_tokens / speed.scored_per_s + self.generated_tokens / speed.generated_per_s

    @property
    def usd(self) -> float | None:
        """Expected price in US dollars, of the tokens and of this machine's time; None without any price."""
        price, hour, seconds = self.prices.by_role.get(_LABELER), self.prices.hour, self.seconds
        if price is None and (hour is None or seconds is None):
            return None
        machine = hour * seconds / _HOUR_S if hour is not None and seconds is not None else 0.0
        return machine + (
            price.usd(self.prompt_tokens, self.generated_tokens + self.choices) if price else 0.0
        )

    def as_json(self) -> dict[str, Any]:
        """Return the cost as JSON-able values."""
        seconds, usd = self.seconds, self.usd
        return {
            "prompt_tokens": self.prompt_tokens,
            "generated_tokens": round(self.generated_tokens),
            "counted_by": "characters" if self.by_characters else "tokenizer",
            "seconds": None if seconds is None else round(seconds, 1),
            "usd": None if usd is None else round(usd, 4),
            "speed": None if self.speed is None else self.speed.source,
            "prices": self.prices.source or None,
        }


def relabelling_cost(
    tokens: LabelTokens, config: RunConfig, project: Path, rate: float | None, prices: Path | None
) -> RelabellingCost:
    """Return the cost of the counted requests.

    Args:
        tokens: the requests' tokens.
        config: configuration of the run.
        project: its project, with earlier runs and the table of prices.
        rate: generated tokens per second; None for the speed of earlier runs.
        prices: another table of prices.

    Raises:
        ConfigError: if the rate is not a number above 0, or the table cannot be read.
    """
    return RelabellingCost(
        tokens.prompts,
        tokens.generated,
        tokens.by_characters,
        _LABELER in served_engines(config),
        known_speed(project, config, rate),
        prices_of(config, project, prices),
        tokens.choices,
    )
