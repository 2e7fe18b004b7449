"""Request cache around an engine: every request is sent to the model once per project."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakKeyDictionary

from core.notices import counted, note
from core.records import Generation
from core.store.cache import RequestCache
from engines.protocols import ChoiceRequest, ChoiceScores, Engine, GenerationRequest, HasOlderKeys

_Answer = TypeVar("_Answer", Generation, ChoiceScores)


@dataclass
class RequestCounts:
    """Request and token counts of an engine; requests are counted by purpose."""

    asked: Counter[str] = field(default_factory=Counter)
    """Requests that the model answered in this process."""
    reused: Counter[str] = field(default_factory=Counter)
    """Requests whose answer was in the cache, or already requested by another task."""
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
        """Number of requests, whether asked or reused."""
        return self.asked.total() + self.reused.total()

    def summary(self) -> str:
        """Return one line, such as `asked 127 of 12,000 requests, reused 11,873`."""
        return f"asked {self.asked.total():,} of {self.total:,} requests, reused {self.reused.total():,}"


class CachedEngine:
    """An engine with a request cache and counts.

    The cache key is the engine's own, so an answer is reused only if everything that determines it is the
    same. Equal requests that run at the same time are sent to the model once.
    """

    def __init__(self, engine: Engine, cache: RequestCache) -> None:
        self._engine = engine
        self._cache = cache
        self._under_way: dict[str, asyncio.Future[str | None]] = {}
        self._keys: WeakKeyDictionary[GenerationRequest | ChoiceRequest, str] = WeakKeyDictionary()
        self.counts = RequestCounts()
        self._changed = 0
        # A cache that is empty when work starts has no answers of older versions.
        self._older = engine if isinstance(engine, HasOlderKeys) and len(cache) else None

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
        """True if the wrapped model is a base model."""
        return self._engine.is_base

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        """Return the wrapped engine's key, which is computed once for as long as the request exists."""
        key = self._keys.get(request)
        if key is None:
            key = self._keys[request] = self._engine.key(request)
        return key

    def knows(self, request: GenerationRequest | ChoiceRequest) -> bool:
        """Return True if the answer is in the cache, which means that the model would not be asked."""
        return self._cache.get(self.key(request)) is not None

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Return the token ids of the choices; raise if the wrapped engine cannot answer with them."""
        return self._engine.require_choices(prefill, choices)

    async def generate(self, request: GenerationRequest) -> Generation:
        """Return the cached answer, or ask the engine and cache its answer."""
        answer = await self._cached_or_ask(request, Generation, lambda: self._engine.generate(request))
        return answer

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return the cached scores, or ask the engine and cache them."""
        return await self._cached_or_ask(request, ChoiceScores, lambda: self._engine.choose(request))

    def close(self) -> None:
        """Close the wrapped engine; the cache belongs to the caller."""
        if self._changed:
            note(
                f"{counted(self._changed, 'answer')} of {self.model} asked again: conversations now have the "
                "token ids of apply_chat_template, and theirs were others"
            )
            self._changed = 0
        self._engine.close()

    def _was_answered(self, request: GenerationRequest | ChoiceRequest) -> bool:
        """Return True if the cache has the answer under the key of an older version."""
        key = self._older.older_key(request) if self._older else None
        return key is not None and self._cache.get(key) is not None

    async def _cached_or_ask(
        self,
        request: GenerationRequest | ChoiceRequest,
        answer_type: type[_Answer],
        ask: Callable[[], Awaitable[_Answer]],
    ) -> _Answer:
        key = self.key(request)
        stored = self._cache.get(key)
        while stored is None and key in self._under_way:
            # Without the shield, cancelling this task would cancel the future that all others wait for. None
            # means that the task that asked was cancelled: then one of those that wait asks again.
            stored = await asyncio.shield(self._under_way[key])
        if stored is not None:
            self.counts.reused[request.purpose] += 1
            return answer_type.model_validate_json(stored)
        self._changed += self._was_answered(request)
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._under_way[key] = future
        try:
            answer = await ask()
            line = answer.model_dump_json(exclude_none=True)
            # Written before the caller can write its record, so a kill costs only the requests in flight.
            self._cache.put(key, request.purpose, line)
        except asyncio.CancelledError:
            future.set_result(None)
            raise
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # retrieved here, or asyncio logs it as never retrieved when nobody waits
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
