"""A model behind a decision endpoint: typed questions about a text, several in one request.

Questions about the same text that are asked at the same moment travel together. Each is still a request of
its own for the cache and the counts, so an edited principle asks its own question again and no other.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from core.chat import Turn, Untrusted
from core.digests import digest
from core.errors import ConfigError, DataError, EngineError, FailedRequestError, PubliusError, RequestError
from core.records import Generation
from engines.config import EngineConfig, ModelConfig
from engines.decisions.openai_form import OpenAIDecisions
from engines.decisions.questions import (
    ChoiceQuestion,
    DecisionAnswer,
    DecisionCall,
    Decisions,
    NamedQuestion,
    Option,
    YesNoQuestion,
)
from engines.decisions.systemone import SystemOne
from engines.decisions.wire import MAX_QUESTIONS, DecisionDialect
from engines.http.contact import wait_for
from engines.http.engine import HttpEngine
from engines.http.faults import RefusedError, TryFailedError
from engines.http.refusals import refused_request
from engines.http.requests import without_special_tokens
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest

PROBABILITY_CLIP = 1e-6
"""Smallest probability of an option: servers round to a few digits, and a rounded 0 has no logarithm."""
REFUSED = "(refused)"
"""Stands for the token of a question that the model refused to answer."""

_DIALECTS: dict[str, DecisionDialect] = {"systemone": SystemOne(), "decisions": OpenAIDecisions()}
_NO_ROUTE = (404, 405, 501)
_PROBE = ChoiceQuestion("Which letter is in the text?", (Option("Reply A"), Option("Reply B")))
_YES_NO_PROBE = YesNoQuestion("Is there a letter in the text?")


@dataclass
class _Batch:
    """Questions about one text that wait to be sent together."""

    loop: asyncio.AbstractEventLoop
    requests: list[ChoiceRequest] = field(default_factory=list)
    answers: list[asyncio.Future[ChoiceScores]] = field(default_factory=list)


class DecisionEngine(HttpEngine):
    """Scores choices by the probabilities that a decision endpoint gives. It writes no text.

    Args:
        model: the model; its id is the name under which the server has it.
        engine: address, key, limits, prices and budget, and the dialect.
    """

    def __init__(self, model: ModelConfig, engine: EngineConfig) -> None:
        super().__init__(model, engine)
        assert engine.dialect != "chat"
        self._name: Literal["systemone", "decisions"] = engine.dialect
        self._dialect = _DIALECTS[engine.dialect]
        self._most = MAX_QUESTIONS
        """Most questions in one request, as far as the server was seen to take them."""
        self._batches: dict[tuple[str, str], _Batch] = {}
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def identity(self) -> str:
        """Digest of the dialect, of what the server says that it serves, and of its own fields."""
        return digest(self._name, self.served.identity, self._extra)[:32]

    @property
    def takes_questions(self) -> bool:
        """True: requests have a typed question."""
        return True

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        """Return a digest of the text, the question, the dialect and the model."""
        assert isinstance(request, ChoiceRequest)
        assert request.question is not None
        written = self._dialect.write_request(_call(_state(request), [request]))
        return digest("decide", self._name, self.served.identity, self._extra, written)

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Return the indices of the choices, after one question of each type to the endpoint.

        Raises:
            EngineError: if the server has no such endpoint, or cannot be used.
        """
        _ = self.served
        turns = (Turn("user", ("A and B",)),)
        requests = [ChoiceRequest(turns, ("yes", "no"), "probe", question=_YES_NO_PROBE)]
        requests.append(ChoiceRequest(turns, ("Reply A", "Reply B"), "probe", question=_PROBE))
        for outcome in wait_for(self._decide(_state(requests[0]), requests), self.transport):
            if isinstance(outcome, RequestError):
                raise outcome
        return tuple(range(len(choices)))

    async def generate(self, request: GenerationRequest) -> Generation:
        """Raise ConfigError: a decision endpoint writes no text."""
        raise ConfigError(
            f"{self.model} is asked at /v1/{self._name}, which writes no text",
            where="engine.dialect",
            accepted="dialect: chat, or this model as models.labeler or models.judge alone",
        )

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return the log-probabilities of the question's options.

        Raises:
            EngineError: if the server cannot be used, or a budget is spent.
            RequestError: if the text is too long for the model, or a content filter refused it.
            FailedRequestError: if the server gave no usable answer.
        """
        loop = asyncio.get_running_loop()
        place = (request.purpose, _state(request))
        batch = self._batches.get(place)
        if batch is None or batch.loop is not loop or len(batch.requests) >= self._most:
            batch = self._batches[place] = _Batch(loop)
            # After all tasks that are ready now: those of one comparison were started together.
            loop.call_soon(self._send, place, batch)
        batch.requests.append(request)
        answer: asyncio.Future[ChoiceScores] = loop.create_future()
        batch.answers.append(answer)
        return await answer

    def _send(self, place: tuple[str, str], batch: _Batch) -> None:
        """Ask the questions of a batch in one request, in a task of its own."""
        if self._batches.get(place) is batch:
            del self._batches[place]
        sending = batch.loop.create_task(self._answer(place[1], batch))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        for answer in batch.answers:  # when nobody waits for an answer any more, nothing is sent
            answer.add_done_callback(lambda _: _cancel_if_unwanted(sending, batch))

    async def _answer(self, state: str, batch: _Batch) -> None:
        try:
            outcomes: list[ChoiceScores | Exception] = [*await self._decide(state, batch.requests)]
        except asyncio.CancelledError:
            for answer in batch.answers:
                answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - raised in the tasks that wait for the answers
            outcomes = [error] * len(batch.answers)
        for answer, outcome in zip(batch.answers, outcomes, strict=True):
            if answer.done():
                continue
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

    async def _decide(
        self, state: str, requests: Sequence[ChoiceRequest]
    ) -> list[ChoiceScores | RequestError]:
        """Return the scores of several questions about one text, or why a question has none.

        They share a request. If it fails, each half of them is asked again: one question that the server
        refuses leaves the others their answers, and a server that takes fewer questions gets fewer.
        """
        if len(requests) > self._most:
            return await self._in_parts(state, requests, self._most)
        try:
            return [*await self._decide_together(state, requests)]
        except RequestError as error:
            if len(requests) == 1:
                return [error]
            failure = error
        self.transport.traffic.changes["questions split"] += 1
        half = (len(requests) + 1) // 2
        outcomes = await self._in_parts(state, requests, half)
        refused = isinstance(failure, FailedRequestError) and isinstance(failure.__cause__, RefusedError)
        if refused and not any(isinstance(outcome, RequestError) for outcome in outcomes):
            self._most = min(self._most, half)  # nothing was wrong but their number
            self._tell(
                f"the server refuses {len(requests)} questions in a request: at most {self._most} are sent"
            )
        return outcomes

    async def _in_parts(
        self, state: str, requests: Sequence[ChoiceRequest], most: int
    ) -> list[ChoiceScores | RequestError]:
        parts = [requests[start : start + most] for start in range(0, len(requests), most)]
        found = await asyncio.gather(*(self._decide(state, part) for part in parts))
        return [outcome for part in found for outcome in part]

    async def _decide_together(self, state: str, requests: Sequence[ChoiceRequest]) -> list[ChoiceScores]:
        """Return the scores of several questions about one text, from one request."""
        call = _call(state, requests, self.model)
        body = {**self._dialect.write_request(call), **self._extra}

        def read(value: dict[str, Any]) -> Decisions:
            self.responders.check(value)
            return self._read(value, call)

        try:
            # Below the server's address, which ends in /v1.
            path = self._dialect.path.removeprefix("/v1/")
            found = await self.transport.ask(path, body, read, purpose=requests[0].purpose)
        except RefusedError as error:
            raise self._refusal(error) from error
        tokens = _shares(found.prompt_tokens, len(requests))
        return [
            _scores(request, answer, self.model, prompt_tokens)
            for request, answer, prompt_tokens in zip(requests, found.answers, tokens, strict=True)
        ]

    def _read(self, value: Mapping[str, Any], call: DecisionCall) -> Decisions:
        try:
            return self._dialect.read_response(value, call)
        except DataError as error:
            raise TryFailedError("decision does not fit the question", str(error)) from None

    def _refusal(self, error: RefusedError) -> PubliusError:
        if error.status in _NO_ROUTE:
            return EngineError(
                f"the server does not answer {self._dialect.path} for {self.model} "
                f"({error.status}: {error.message.text})",
                where=self.transport.endpoint.url,
                accepted="a server and a model with this route (docs/servers.md), or engine.dialect: chat",
            )
        return refused_request(error) or self.transport.refusal(error)


def _state(request: ChoiceRequest) -> str:
    """Return the text of a request, in which no untrusted piece spells a special token."""
    return "".join(
        without_special_tokens(piece.text) if isinstance(piece, Untrusted) else piece
        for turn in request.turns
        for piece in turn.pieces
    )


def _call(state: str, requests: Sequence[ChoiceRequest], model: str | None = None) -> DecisionCall:
    questions = [request.question for request in requests if request.question is not None]
    # Examples and passages of a constitution are part of a question.
    named = tuple(
        NamedQuestion(
            f"q{number}", replace(question, instructions=without_special_tokens(question.instructions))
        )
        for number, question in enumerate(questions, start=1)
    )
    assert len(questions) == len(requests), "an engine that takes questions is asked without one"
    return DecisionCall(state, named, model)


def _scores(
    request: ChoiceRequest, answer: DecisionAnswer | None, model: str, prompt_tokens: int
) -> ChoiceScores:
    """Return an answer as log-probabilities over the whole vocabulary.

    A refused question has no probability on its options, so its judgment is never readable.
    """
    if answer is None:
        nothing = (math.log(PROBABILITY_CLIP),) * len(request.choices)
        return ChoiceScores(
            logprobs=nothing, answer_mass=0.0, top_token=REFUSED, prompt_tokens=prompt_tokens, model=model
        )
    mass = 1.0 if answer.label_mass is None else max(answer.label_mass, PROBABILITY_CLIP)
    return ChoiceScores(
        logprobs=tuple(math.log(max(p, PROBABILITY_CLIP) * mass) for p in answer.probabilities),
        answer_mass=answer.label_mass,
        top_token="" if answer.top_is_label is False else request.choices[answer.best],
        prompt_tokens=prompt_tokens,
        model=model,
        missing_mass=answer.missing_mass,
        bounded=answer.bounded or None,
    )


def _shares(tokens: int, count: int) -> list[int]:
    """Return how many tokens each of several questions counts for, so that the sum is kept."""
    each, rest = divmod(tokens, count)
    return [each + (number < rest) for number in range(count)]


def _cancel_if_unwanted(sending: asyncio.Task[None], batch: _Batch) -> None:
    if all(answer.cancelled() for answer in batch.answers):
        sending.cancel()
