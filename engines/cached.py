"""An engine that asks each question once: answers come from the project's cache where it has them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from core.records import Generation
from core.store.cache import RequestCache
from engines.protocols import ChoiceRequest, ChoiceScores, Engine, GenerationRequest

_Answer = TypeVar("_Answer", Generation, ChoiceScores)


@dataclass
class RequestCounts:
    """What an engine was asked for, by purpose."""

    asked: Counter[str] = field(default_factory=Counter)
    """Requests that the model answered in this process."""
    reused: Counter[str] = field(default_factory=Counter)
    """Requests whose answer was in the cache, or under way for someone else."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: RequestCounts) -> RequestCounts:
        return RequestCounts(
            self.asked + other.asked,
            self.reused + other.reused,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )

    @property
    def total(self) -> int:
        """All requests, asked and re-used."""
        return self.asked.total() + self.reused.total()

    def summary(self) -> str:
        """Return one line, such as `asked 127 of 12,000 requests, reused 11,873`."""
        return f"asked {self.asked.total():,} of {self.total:,} requests, reused {self.reused.total():,}"


class CachedEngine:
    """Wraps an engine with the request cache and counts.

    The cache is asked by the engine's own key, so that an answer is only re-used where everything that
    determines it is the same. Two equal requests at the same time are asked once.
    """

    def __init__(self, engine: Engine, cache: RequestCache) -> None:
        self._engine = engine
        self._cache = cache
        self._under_way: dict[str, asyncio.Future[str | None]] = {}
        self.counts = RequestCounts()

    @property
    def model(self) -> str:
        """The wrapped engine's model."""
        return self._engine.model

    @property
    def identity(self) -> str:
        """The wrapped engine's identity."""
        return self._engine.identity

    @property
    def is_base(self) -> bool:
        """Whether the wrapped model is a base model."""
        return self._engine.is_base

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        """Return the wrapped engine's key."""
        return self._engine.key(request)

    def knows(self, request: GenerationRequest | ChoiceRequest) -> bool:
        """Return whether the answer is in the cache, so that the model would not be asked."""
        return self._cache.get(self._engine.key(request)) is not None

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Ask the wrapped engine whether it can answer with these choices."""
        return self._engine.require_choices(prefill, choices)

    async def generate(self, request: GenerationRequest) -> Generation:
        """Return the cached answer, or ask the engine and keep its answer."""
        answer = await self._once(request, Generation, lambda: self._engine.generate(request))
        return answer

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return the cached scores, or ask the engine and keep them."""
        return await self._once(request, ChoiceScores, lambda: self._engine.choose(request))

    def close(self) -> None:
        """Close the wrapped engine; the cache belongs to the caller."""
        self._engine.close()

    async def _once(
        self,
        request: GenerationRequest | ChoiceRequest,
        answer_type: type[_Answer],
        ask: Callable[[], Awaitable[_Answer]],
    ) -> _Answer:
        key = self._engine.key(request)
        stored = self._cache.get(key)
        while stored is None and key in self._under_way:
            stored = await asyncio.shield(self._under_way[key])  # None: that asker gave up
        if stored is not None:
            self.counts.reused[request.purpose] += 1
            return answer_type.model_validate_json(stored)
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._under_way[key] = future
        try:
            answer = await ask()
            line = answer.model_dump_json(exclude_none=True)
            self._cache.put(key, request.purpose, line)
        except asyncio.CancelledError:
            future.set_result(None)
            raise
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # marked as seen: most often nobody else waits for it
            raise
        finally:
            del self._under_way[key]
        future.set_result(line)
        self._count(request, answer)
        return answer

    def _count(self, request: GenerationRequest | ChoiceRequest, answer: Generation | ChoiceScores) -> None:
        self.counts.asked[request.purpose] += 1
        self.counts.prompt_tokens += answer.prompt_tokens
        if isinstance(answer, Generation):
            self.counts.completion_tokens += answer.completion_tokens
