"""The HTTP engine: a model behind a server that speaks OpenAI's chat completions.

The server has the tokenizer and the chat template: conversations are sent as messages, and keys are digests
of them. The first use asks the server which models it has (`engines/http/served.py`); what it refuses in a
request is learned from its refusals (`engines/http/refusals.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import JsonValue

from core.chat import Turn
from core.digests import digest
from core.errors import ConfigError, EngineError, RequestError
from core.notices import note
from core.records import Generation, Sampling
from engines.config import EngineConfig, ModelConfig
from engines.endpoint.credentials import OPENAI_HOST, credentials_for
from engines.endpoint.memory import report_change
from engines.endpoint.settings import Timeouts, base_url
from engines.endpoint.spending import ServerRecord, Spending
from engines.http.contact import wait_for
from engines.http.faults import RefusedError, TryFailedError
from engines.http.refusals import ChangedError, change_for, without_logprobs
from engines.http.requests import KWARGS, Accepted, Begin, choice_body, generation_body
from engines.http.responses import (
    FirstToken,
    choice_scores,
    first_token_in,
    generation_in,
    has_content,
    reasoning_in,
)
from engines.http.served import Responders, ServedModel, served_in
from engines.http.transport import Endpoint, HttpTransport
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest, require_form
from engines.thinking import names_thoughts

_CHAT = "chat/completions"
_CHANGES = 8
"""Most changes of one request for what a server accepts."""
_NO_LIST = (404, 405, 501)
"""Statuses of a server without a list of models."""
_NO_LIST_AFTER = 5
"""Responses without a list after which the server counts as one that has none."""
_CONTINUES: dict[str, Begin] = {
    "vllm": "continue",
    "sglang": "continue",
    "publius": "continue",
    "llamacpp": "assistant",
}
"""How servers continue a begun answer that say in their list of models which software they are."""
_COUNTING = "Count from one to six in words, separated by commas."
_BEGUN, _NEXT = "one, two, three,", "four"

_Read = TypeVar("_Read")


class HttpEngine:
    """Generates and scores with one model of a server.

    Args:
        model: the model; its id is the name under which the server has it.
        engine: address, key, limits, prices and budget.
    """

    def __init__(self, model: ModelConfig, engine: EngineConfig) -> None:
        assert engine.url is not None, "EngineConfig.for_model requires an address"
        self._config = model
        self._engine = engine
        url = base_url(engine.url)
        own = model.engine.budget if model.engine else None
        self._own_budget = Spending(own, "models.ROLE.engine.budget")
        self.transport = HttpTransport(
            Endpoint(
                url=url,
                credentials=credentials_for(url, engine.api_key_env),
                concurrency=engine.conversations(None),
                max_tries=engine.max_tries,
                timeouts=engine.timeouts or Timeouts(),
                outage_s=engine.outage_s,
                unreachable_s=engine.unreachable_s,
                prices=engine.prices,
            ),
            [Spending(engine.budget), self._own_budget],
        )
        """Requests to the server."""
        self.responders = Responders(model.id, where=url)
        """Who answered under the model's name."""
        self._accepted = Accepted()
        if urlsplit(url).hostname == OPENAI_HOST:
            self._accepted = Accepted("max_completion_tokens", {"top_k", "min_p", "repetition_penalty"})
        self._begin: Begin | None = None if engine.prefill == "auto" else engine.prefill
        if self._begin is not None:
            self._accepted.begin = self._begin
        self._learning: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self._has_logprobs = False
        self._told: set[str] = set()

    @property
    def model(self) -> str:
        """Name of the model in records."""
        return self._config.id

    @property
    def identity(self) -> str:
        """Digest of what the server says that it serves, and of the fields that every request has."""
        return digest("http", self.served.identity, self._extra, self._engine.prefill)[:32]

    @property
    def is_base(self) -> bool:
        """False: the server has the chat template, and refuses a conversation if it has none."""
        return False

    @property
    def progress(self) -> int:
        """A number that changes with each response and each failed try."""
        return self.transport.steps

    @cached_property
    def served(self) -> ServedModel:
        """The model as the server describes it. Asks the server.

        Raises:
            ConfigError: if the server does not have the model.
            EngineError: if the server cannot be used.
        """
        found = wait_for(self._look(), self.transport)
        self.responders.root = str(found.facts.get("root", ""))
        return found

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        """Return a digest of messages, model and sampling; the seed counts only when sampling."""
        turns = [(turn.role, turn.text) for turn in request.turns]
        model = (self.served.identity, self._extra, self._engine.prefill)
        if isinstance(request, ChoiceRequest):
            return digest("choose", "http", model, turns, request.prefill, request.choices)
        seed = request.seed if request.sampling.temperature > 0 else None
        schema = (request.json_schema,) if request.json_schema else ()
        sampling = request.sampling.model_dump()
        return digest("generate", "http", model, turns, request.prefill, sampling, seed, *schema)

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Return the indices of the choices, after a look at whether the server lists probabilities.

        Raises:
            ConfigError: if it lists none, or if its model thinks before it answers.
            EngineError: if the server cannot be used.
        """
        _ = self.served
        names = " or ".join(choice.strip() for choice in choices)
        question = Turn("user", (f"Answer with one word, {names}.",))
        request = ChoiceRequest((question,), choices, "probe", prefill)
        wait_for(self._probe(request), self.transport)
        return tuple(range(len(choices)))

    async def generate(self, request: GenerationRequest) -> Generation:
        """Return the model's answer.

        Raises:
            EngineError: if the server cannot be used, or a budget is spent.
            RequestError: if the request is too long for the model, or a content filter refused it.
            FailedRequestError: if the server gave no usable answer.
        """
        await self._learn_beginning(request)

        def read(value: dict[str, Any]) -> Generation:
            self.responders.check(value)
            return generation_in(value, request, self.model)

        return await self._ask(
            lambda: generation_body(self.model, request, self._accepted, self._extra), read, request.purpose
        )

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return log-probabilities of the choices as the first token, by their texts. Raises as `generate`.

        Raises:
            ConfigError: if the server lists no log-probabilities, or if the model thinks before it answers.
            EngineError: if the request has another form than single tokens.
        """
        require_form(self, request.form)
        await self._learn_beginning(request)
        return await self._first_token(request)

    def share_budget(self, spending: Spending) -> None:
        """Count what is spent under a budget that several engines share."""
        self.transport.spending = [spending, self._own_budget]

    def resume(self, earlier: Iterable[ServerRecord], role: str = "") -> None:
        """Take over what earlier commands of the run spent on this model, and saw of its server.

        Args:
            earlier: what was asked of all servers.
            role: role whose settings this engine has. Its own budget counts what was spent in this role, at
                whatever address.
        """
        for record in earlier:
            same_server = record.model == self.model and record.url == self.transport.endpoint.url
            if record.role == role if record.role else same_server:
                self._own_budget.add(record.traffic.tokens, record.traffic.usd)
            if same_server:
                self.responders.remember(record.seen)

    def report_change(self, memory: Path) -> None:
        """Warn if the server describes the model in another way than the file says, and update the file."""
        report_change(memory, self.model, self.transport.endpoint.url, self.served.description)

    def take_record(self) -> ServerRecord:
        """Return what was asked since this was last called."""
        served = {"served": self.served.description} if "served" in self.__dict__ else {}
        seen = {**served, **self.responders.as_json()}
        return ServerRecord(self.model, self.transport.endpoint.url, self.transport.take_traffic(), seen)

    def state(self) -> str:
        """Return the retries, and that the circuit is open; empty if all is well."""
        return self.transport.summary()

    def close(self) -> None:
        """Do nothing: connections are closed with the event loop that opened them."""

    @cached_property
    def _extra(self) -> dict[str, JsonValue]:
        """Fields of every request that the run file asks for."""
        kwargs = self._config.chat_template_kwargs
        return {**({KWARGS: kwargs} if kwargs else {}), **self._engine.extra_body}

    async def _look(self) -> ServedModel:
        """Return what the server's list says about the model; a server without a list is believed."""
        name, url = self.model, self.transport.endpoint.url
        unlisted = 0

        def read(value: dict[str, Any]) -> ServedModel:
            nonlocal unlisted
            try:
                return served_in(value, name, url)
            except TryFailedError:
                unlisted += 1
                if unlisted < _NO_LIST_AFTER:  # it may be one response that is wrong
                    raise
                return ServedModel(name)

        try:
            return await self.transport.get("models", read)
        except RefusedError as error:
            if error.status in _NO_LIST:
                return ServedModel(name)
            raise self.transport.refusal(error) from None

    async def _probe(self, request: ChoiceRequest) -> None:
        await self._learn_beginning(request)
        await self._first_token(request, probing=True)

    async def _ask(
        self, body: Callable[[], dict[str, JsonValue]], read: Callable[[dict[str, Any]], _Read], purpose: str
    ) -> _Read:
        """Send a request, changed for what the server accepts until it accepts it."""
        for _ in range(_CHANGES):
            sent = body()
            try:
                return await self.transport.ask(_CHAT, sent, read, purpose=purpose)
            except RefusedError as error:
                outcome = change_for(error, sent, self._accepted, self.transport.endpoint.url)
                if not isinstance(outcome, ChangedError):
                    raise (outcome or self.transport.refusal(error)) from None
                self._tell(outcome.note)
                self.transport.traffic.changes[outcome.what] += 1
        raise EngineError(
            f"the server refuses every form of a request; {_CHANGES} were tried",
            where=self.transport.endpoint.url,
            accepted="a server that speaks OpenAI's chat completions",
        )

    async def _first_token(self, request: ChoiceRequest, *, probing: bool = False) -> ChoiceScores:
        def read(value: dict[str, Any]) -> ChoiceScores:
            self.responders.check(value)
            first = first_token_in(value)
            if probing:
                self._require_no_thinking(first, value)
            if first is None:
                if self._has_logprobs or not has_content(value):  # it lists them, or this response is broken
                    raise TryFailedError("no log-probabilities")
                raise without_logprobs(self.model, self.transport.endpoint.url)
            self._has_logprobs = True
            return choice_scores(first, value, request, self.model)

        return await self._ask(
            lambda: choice_body(self.model, request, self._accepted, self._extra), read, request.purpose
        )

    def _require_no_thinking(self, first: FirstToken | None, value: Mapping[str, Any]) -> None:
        if reasoning_in(value) or (first is not None and names_thoughts(first.top.strip())):
            raise ConfigError(
                f"the labeler {self.model} thinks before it answers, so its first token is not its choice",
                where="models.labeler",
                accepted="chat_template_kwargs: {enable_thinking: false} or the server's own switch in "
                "engine.extra_body, or a model that answers without thinking",
            )

    async def _learn_beginning(self, request: GenerationRequest | ChoiceRequest) -> None:
        """Find out how the server continues a begun answer, before the first one is sent."""
        if not request.prefill or self._begin is not None:
            return
        loop = asyncio.get_running_loop()
        if self._learning is None or self._learning[0] is not loop:
            self._learning = (loop, asyncio.Lock())
        async with self._learning[1]:
            if self._begin is None:
                self._begin = self._accepted.begin = await self._beginning()
        if self._begin == "none":
            self._tell(
                "the server does not continue a begun answer: critics are asked in words to begin so, and "
                "labels are read without a beginning (engine.prefill)"
            )

    async def _beginning(self) -> Begin:
        known = _CONTINUES.get(str(self.served.facts.get("owned_by", "")).lower())
        if known is not None:
            return known
        turns = (Turn("user", (_COUNTING,)),)
        request = GenerationRequest(turns, Sampling(max_new_tokens=8), 0, "probe", _BEGUN)

        def body() -> dict[str, JsonValue]:
            return generation_body(
                self.model, request, replace(self._accepted, begin="assistant"), self._extra
            )

        def read(value: dict[str, Any]) -> str:
            return generation_in(value, request, self.model).text

        try:
            text = await self._ask(body, read, request.purpose)
        except RequestError:  # such as: the last message must be from the user
            return "none"
        return "assistant" if text.lower().lstrip(" .,").startswith(_NEXT) else "none"

    def _tell(self, text: str) -> None:
        """Print a note about the server once."""
        if text not in self._told:
            self._told.add(text)
            note(f"{self.transport.endpoint.url}: {text}")
