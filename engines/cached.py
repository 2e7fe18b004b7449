"""Request cache around an engine: every request is sent to the model once per project."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from core.errors import EngineError, FailedRequestError
from core.notices import counted, note
from core.records import Generation
from core.store.cache import RequestCache
from engines.protocols import (
    ChoiceRequest,
    ChoiceScores,
    CountsDrawnTokens,
    CountsTokens,
    Engine,
    GenerationRequest,
    HasOlderKeys,
    KnowsSize,
    RemembersPrompts,
    RequestForm,
    StreamsAnswers,
    compares_replies,
    forms_of,
    has_own_question,
    takes_questions,
)
from engines.requests.failures import failure_of_one_request, line_of
from engines.requests.waiting import WaitingRequests

MAX_FAILURES = 32
"""Number of requests that have to fail one after the other for the engine to count as broken."""
_LOOKS_FOR_OLDER = 256
"""Requests without an answer of an older version after which none is looked for: each look encodes again."""
_SHOWN = 80
"""Characters of an invalid answer in a message."""

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
    unusable: int = 0
    """Stored answers that could not be read, and were asked for again."""

    def __add__(self, other: RequestCounts) -> RequestCounts:
        return RequestCounts(
            self.asked + other.asked,
            self.reused + other.reused,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.unusable + other.unusable,
        )

    @property
    def total(self) -> int:
        """Number of requests, whether asked or reused."""
        return self.asked.total() + self.reused.total()

    def summary(self) -> str:
        """Return one line, such as `asked 127 of 12,000 requests, reused 11,873`.

        Requests that wait for their answer are in neither number.
        """
        if not self.total:
            return "no request answered"
        again = f", replaced {self.unusable:,} unreadable in the cache" if self.unusable else ""
        asked = f"asked {self.asked.total():,} of {counted(self.total, 'request')}"
        return f"{asked}, reused {self.reused.total():,}{again}"


class CachedEngine:
    """An engine with a request cache and counts.

    The cache key is the engine's own, so an answer is reused only if everything that determines it is the
    same. Equal requests that run at the same time are sent to the model once.

    An exception of the engine is the failure of one request, and so are an answer that cannot be stored or
    read back and one that does not come in time: none of them is cached, and only `MAX_FAILURES` of them in a
    row mean that the engine is broken. A stored answer that cannot be read is asked for again.

    Args:
        engine: the engine.
        cache: the project's answers.
        timeout_s: seconds without progress of the engine after which a request fails; None for no limit.
    """

    def __init__(self, engine: Engine, cache: RequestCache, timeout_s: float | None = None) -> None:
        self._engine = engine
        self._cache = cache
        self._under_way: dict[str, asyncio.Future[Any]] = {}
        """The answer that each key will have; None if the task that asked was cancelled."""
        self._keys: WeakKeyDictionary[GenerationRequest | ChoiceRequest, str] = WeakKeyDictionary()
        self._failed_in_a_row = 0
        self.waiting = WaitingRequests(engine, timeout_s)
        """Requests that the engine has not answered yet."""
        self.counts = RequestCounts()
        self._changed = 0
        self._looked = 0
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

    @property
    def parameters(self) -> int | None:
        """Number of weights of the wrapped engine's model; None if it does not know it, as a server's."""
        return self._engine.parameters if isinstance(self._engine, KnowsSize) else None

    @property
    def drawn_tokens(self) -> int:
        """Number of tokens drawn for answers, those of unfinished ones included where the engine counts them.

        For other engines, such as a server's, the tokens of the complete answers in `counts`.
        """
        if isinstance(self._engine, CountsDrawnTokens):
            return self._engine.drawn_tokens
        return self.counts.completion_tokens

    @property
    def takes_questions(self) -> bool:
        """True if the wrapped engine is asked typed questions."""
        return takes_questions(self._engine)

    @property
    def compares_replies(self) -> bool:
        """True if the wrapped engine is a reward model, which is asked no question."""
        return compares_replies(self._engine)

    @property
    def has_own_question(self) -> bool:
        """True if the wrapped engine is a trained judge, which answers one question alone."""
        return has_own_question(self._engine)

    @property
    def forms(self) -> frozenset[RequestForm]:
        """Forms of choices that the wrapped engine takes."""
        return forms_of(self._engine)

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        """Return the wrapped engine's key, which is computed once for as long as the request exists."""
        key = self._keys.get(request)
        if key is None:
            key = self._keys[request] = self._engine.key(request)
        return key

    def knows(self, request: GenerationRequest | ChoiceRequest) -> bool:
        """Return True if the answer is in the cache, which means that the model would not be asked."""
        stored = self._cache.get(self.key(request))
        if stored is None:
            return False
        if isinstance(request, ChoiceRequest):
            return _read(stored, request, ChoiceScores) is not None
        return _read(stored, request, Generation) is not None

    def prompt_tokens(self, request: GenerationRequest | ChoiceRequest) -> int | None:
        """Return the tokens of a request's prompt; None if the wrapped engine cannot count them.

        Raises:
            RequestError: if the prompt is too long for the model.
        """
        return self._engine.prompt_tokens(request) if isinstance(self._engine, CountsTokens) else None

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Return the token ids of the choices; raise if the wrapped engine cannot answer with them."""
        return self._engine.require_choices(prefill, choices)

    async def generate(self, request: GenerationRequest) -> Generation:
        """Return the cached answer, or ask the engine and cache its answer.

        Raises:
            EngineError: if the engine failed on many requests in a row, or cannot continue.
            RequestError: if the request cannot be run.
            FailedRequestError: if the engine failed on this request, or its answer cannot be used.
        """
        return await self._cached_or_ask(request, Generation, lambda: self._engine.generate(request))

    async def stream(self, request: GenerationRequest, tell: Callable[[str], None]) -> Generation:
        """Return the answer as `generate` does, and call a function with its text so far while it is drawn.

        An engine that does not report it, and an answer that is known, call it never.
        """
        engine = self._engine
        if not isinstance(engine, StreamsAnswers):
            return await self.generate(request)
        return await self._cached_or_ask(request, Generation, lambda: engine.stream(request, tell))

    def remember_prompts(self) -> None:
        """Let the wrapped engine keep what it has read of scored prompts, if it can."""
        if isinstance(self._engine, RemembersPrompts):
            self._engine.remember_prompts()

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return the cached scores, or ask the engine and cache them. Raises as `generate` does."""
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
        if self._older is None or (not self._changed and self._looked >= _LOOKS_FOR_OLDER):
            return False
        self._looked += 1
        key = self._older.older_key(request)
        return key is not None and self._cache.get(key) is not None

    async def _cached_or_ask(
        self,
        request: GenerationRequest | ChoiceRequest,
        answer_type: type[_Answer],
        ask: Callable[[], Awaitable[_Answer]],
    ) -> _Answer:
        key = self.key(request)
        stored = self._cache.get(key)
        answer = None if stored is None else _read(stored, request, answer_type)
        while answer is None and key in self._under_way:
            # Without the shield, cancelling this task would cancel the future that all others wait for. None
            # means that the task that asked was cancelled: then one of those that wait asks again.
            answer = await asyncio.shield(self._under_way[key])
        if answer is not None:
            self.counts.reused[request.purpose] += 1
            return answer
        self._changed += stored is None and self._was_answered(request)
        future: asyncio.Future[_Answer | None] = asyncio.get_running_loop().create_future()
        self._under_way[key] = future
        try:
            answer, line = await self._ask(request, answer_type, ask)
            # Written before the caller can write its record, so a kill costs only the requests in flight.
            if stored is None:
                self._cache.put(key, request.purpose, line)
            else:
                self._cache.replace(key, request.purpose, stored, line)
        except asyncio.CancelledError:
            future.set_result(None)
            raise
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # retrieved here, or asyncio logs it as never retrieved when nobody waits
            raise
        finally:
            del self._under_way[key]
        future.set_result(answer)
        self.counts.unusable += stored is not None
        self._count(request, answer)
        return answer

    async def _ask(
        self,
        request: GenerationRequest | ChoiceRequest,
        answer_type: type[_Answer],
        ask: Callable[[], Awaitable[_Answer]],
    ) -> tuple[_Answer, str]:
        """Return the engine's answer, and its line for the cache, from which it can be read back."""
        try:
            with failure_of_one_request(self.model), self.waiting.request():
                answer = await ask()
                line = line_of(answer)
                if _read(line, request, answer_type) is None:
                    raise FailedRequestError("the engine's answer is not valid", detail=line[:_SHOWN])
        except FailedRequestError as error:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= MAX_FAILURES:
                raise EngineError(
                    f"{MAX_FAILURES} requests in a row failed; the last one: {error}",
                    where=self.model,
                    accepted="a model that answers; completed work is saved, and the same command resumes",
                ) from error
            raise
        self._failed_in_a_row = 0
        return answer, line

    def _count(self, request: GenerationRequest | ChoiceRequest, answer: Generation | ChoiceScores) -> None:
        self.counts.asked[request.purpose] += 1
        self.counts.prompt_tokens += answer.prompt_tokens
        if isinstance(answer, Generation):
            self.counts.completion_tokens += answer.completion_tokens


def _read(
    line: str, request: GenerationRequest | ChoiceRequest, answer_type: type[_Answer]
) -> _Answer | None:
    """Return the answer in a line of JSON, or None if it is not an answer to such a request."""
    try:
        answer = answer_type.model_validate_json(line)
    except ValidationError:
        return None
    return answer if _fits(answer, request) else None


def _fits(answer: Generation | ChoiceScores, request: GenerationRequest | ChoiceRequest) -> bool:
    """Return True if the scores are as many as the choices; a generation always fits."""
    if isinstance(answer, ChoiceScores) and isinstance(request, ChoiceRequest):
        return len(answer.logprobs) == len(request.choices)
    return True
