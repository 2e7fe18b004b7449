"""Answers of the bench: the critique loop as a run has it, with each text reported while it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from core.records import CritiqueTrace, Generation, Prompt
from critique.loop import CritiqueLoop
from engines.cached import CachedEngine
from engines.protocols import GenerationRequest, Generator, StreamsAnswers

Tell = Callable[[str, str | None], None]
"""Called with the purpose of a request when it begins, and with purpose and text as it is answered."""


class NotWrittenYetError(Exception):
    """A request of the loop is not in the cache."""


class _Told:
    """An engine that reports what it writes."""

    def __init__(self, engine: Generator, tell: Tell) -> None:
        self._engine, self._tell = engine, tell

    async def generate(self, request: GenerationRequest) -> Generation:
        def tell(text: str) -> None:
            begun = f"{request.prefill} " if request.prefill and text else ""
            self._tell(request.purpose, begun + text)

        self._tell(request.purpose, None)
        if isinstance(self._engine, StreamsAnswers):
            answer = await self._engine.stream(request, tell)
        else:
            answer = await self._engine.generate(request)
        tell(answer.text)
        return answer


class _OnlyKnown:
    """An engine that answers from the request cache alone."""

    def __init__(self, engine: CachedEngine) -> None:
        self._engine = engine

    async def generate(self, request: GenerationRequest) -> Generation:
        if not self._engine.knows(request):
            raise NotWrittenYetError
        return await self._engine.generate(request)


async def write_answers(loop: CritiqueLoop, prompt: Prompt, tell: Tell) -> CritiqueTrace:
    """Return the trace of a prompt, and report each text of it."""
    return await replace(loop, policy=_Told(loop.policy, tell), critic=_Told(loop.critic, tell)).trace(prompt)


async def known_answers(
    loop: CritiqueLoop, policy: CachedEngine, critic: CachedEngine, prompt: Prompt
) -> CritiqueTrace | None:
    """Return the trace of a prompt if the model need not be asked for it, else None."""
    try:
        return await replace(loop, policy=_OnlyKnown(policy), critic=_OnlyKnown(critic)).trace(prompt)
    except NotWrittenYetError:
        return None
