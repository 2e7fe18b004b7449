"""The transformers engine: one model on one torch thread, fed by any number of asynchronous askers.

Askers encode their own requests and wait. The thread gathers what waits into batches of similar length,
scores one-token answers in one forward pass each, and decodes the rest together: a row leaves the batch when
it is done, and waiting rows join when there is room (`engines/decoding.py`).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from core.digests import digest
from core.errors import EngineError, PubliusError, RequestError
from core.records import Generation
from engines.config import EngineConfig, ModelConfig
from engines.loading import ModelFiles, load_model, load_tokenizer, locate, pick_dtype
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from engines.thinking import require_no_thinking, split_reasoning
from engines.tokenization import CHATML_STOP, TurnEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from engines.decoding import DecodingBatch, Row

_DECODING = 1
"""Raised when the engine would answer the same request differently, so that no old answer is re-used."""

_GATHER_S = 0.01
"""Once a request has come to an idle engine, how long to wait for the next one before starting."""


@dataclass(frozen=True, slots=True)
class _Ticket:
    """A request on its way through the engine, and whom to tell."""

    request: GenerationRequest | ChoiceRequest
    ids: tuple[int, ...]
    choice_ids: tuple[int, ...]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]

    def resolve(self, result: Generation | ChoiceScores | PubliusError) -> None:
        """Hand the result to the asker's event loop; an asker that has gone away is no error."""

        def settle() -> None:
            if self.future.done():
                return
            if isinstance(result, PubliusError):
                self.future.set_exception(result)
            else:
                self.future.set_result(result)

        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(settle)


class TransformersEngine:
    """Generates and scores with one Hugging Face model in this process.

    The tokenizer is loaded upon the first key, the weights upon the first request that runs, so that a run
    whose answers are all in the cache never loads the model.

    Args:
        model: which model.
        engine: batch sizes and device.
    """

    def __init__(self, model: ModelConfig, engine: EngineConfig) -> None:
        self._config = model
        self._engine = engine
        self._queue: queue.SimpleQueue[_Ticket | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failure: PubliusError | None = None

    @property
    def model(self) -> str:
        """The model's name, as it stands in records."""
        return self._files.name

    @property
    def identity(self) -> str:
        """Digest of the model's files, its weight type and what its chat template is given."""
        return digest(self._files.identity, self._dtype, self._config.chat_template_kwargs)

    @property
    def is_base(self) -> bool:
        """Whether the model has no chat template of its own and is spoken to in ChatML."""
        return self.encoder.is_base

    @cached_property
    def encoder(self) -> TurnEncoder:
        """Encodes conversations for this model."""
        return TurnEncoder(self._tokenizer, self._config.chat_template_kwargs, self.model)

    def key(self, request: GenerationRequest | ChoiceRequest) -> str:
        """Return the request's digest: exact ids, model, dtype and sampling; the seed only when sampling."""
        ids = self.encoder.encode(request.turns, request.prefill).ids
        model = ("transformers", _DECODING, self._files.identity, self._dtype)
        if isinstance(request, ChoiceRequest):
            return digest("choose", model, ids, request.choices)
        sampling = request.sampling
        seed = request.seed if sampling.temperature > 0 else None
        return digest("generate", model, ids, sampling.model_dump(), seed)

    async def generate(self, request: GenerationRequest) -> Generation:
        """Return the model's answer. Raises RequestError if prompt and answer exceed the model's context."""
        ids = self.encoder.encode(request.turns, request.prefill).ids
        self._require_room(len(ids) + request.sampling.max_new_tokens)
        answer: Generation = await self._ask(request, ids, ())
        return answer

    def require_choices(self, prefill: str, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Return the token of each choice behind the prefill.

        Raises:
            ConfigError: if the model may think before it answers.
            EngineError: if a choice is not one token.
        """
        require_no_thinking(self.model, self.encoder.template, self._config.chat_template_kwargs)
        return tuple(self._next_token(prefill, choice) for choice in choices)

    async def choose(self, request: ChoiceRequest) -> ChoiceScores:
        """Return log-probabilities of the choices. Raises EngineError if a choice is not one token."""
        choice_ids = self.require_choices(request.prefill, request.choices)
        ids = self.encoder.encode(request.turns, request.prefill).ids
        self._require_room(len(ids) + 1)
        scores: ChoiceScores = await self._ask(request, ids, choice_ids)
        return scores

    def close(self) -> None:
        """Stop the thread after the step under way and free the model. Safe to call twice."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    @cached_property
    def _files(self) -> ModelFiles:
        return locate(self._config)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._files)

    @cached_property
    def _dtype(self) -> str:
        return pick_dtype(self._config.dtype, self._engine.device)

    @cached_property
    def _context(self) -> int:
        import json

        config = json.loads((self._files.folder / "config.json").read_text())
        return int(config.get("max_position_embeddings") or 2**31)

    def _require_room(self, tokens: int) -> None:
        most = min(self._context, self._engine.max_batch_tokens)
        if tokens > most:
            raise RequestError(
                "prompt and answer are too long for the model's context or engine.max_batch_tokens",
                detail=f"{tokens} tokens, at most {most}",
            )

    def _next_token(self, prefill: str, choice: str) -> int:
        """Return the one token by which the choice continues the prefill."""
        before, after = self.encoder.plain(prefill), self.encoder.plain(prefill + choice)
        if after[:-1] != before:
            raise EngineError(
                f"{choice!r} after {prefill!r} is not one token for {self.model}",
                where="templates/comparison.j2",
                accepted="a prefill after which each answer is a single token",
            )
        return after[-1]

    async def _ask(
        self, request: GenerationRequest | ChoiceRequest, ids: tuple[int, ...], choice_ids: tuple[int, ...]
    ) -> Any:
        if self._failure is not None:
            raise self._failure
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=f"torch {self.model}", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        ticket = _Ticket(request, ids, choice_ids, loop, loop.create_future())
        self._queue.put(ticket)
        if self._failure is not None:  # the thread may have failed since, and emptied the queue before
            ticket.resolve(self._failure)
        return await ticket.future

    def _serve(self) -> None:
        """Answer tickets until closed. Any failure reaches every asker instead of dying with the thread."""
        worker: _Worker | None = None
        try:
            model = load_model(self._files, self._dtype, self._engine.device)
            worker = _Worker(model, self._tokenizer, self)
            while worker.collect(self._queue):
                worker.work()
            self._reject(EngineError("the engine was closed before it answered", where=self.model), worker)
        except PubliusError as error:
            self._fail(error, worker)
        except Exception as error:  # noqa: BLE001  the askers wait in another thread and must hear of it
            self._fail(EngineError(_one_line(error), where=self.model), worker)

    def _fail(self, error: PubliusError, worker: _Worker | None) -> None:
        self._failure = error
        self._reject(error, worker)

    def _reject(self, error: PubliusError, worker: _Worker | None) -> None:
        for ticket in worker.unanswered() if worker else []:
            ticket.resolve(error)
        while True:
            try:
                ticket_or_end = self._queue.get_nowait()
            except queue.Empty:
                return
            if ticket_or_end is not None:
                ticket_or_end.resolve(error)


class _Worker:
    """What the torch thread holds: the model, the tickets that wait and the rows under way."""

    def __init__(self, model: PreTrainedModel, tokenizer: Any, owner: TransformersEngine) -> None:
        from engines.decoding import DecodingBatch

        self._model = model
        self._tokenizer = tokenizer
        self._name = owner.model
        self._limits = owner._engine
        self._template_thinks = owner.encoder.opens_thinking()
        self._base_stops = (CHATML_STOP,) if owner.is_base else ()
        self._open: dict[int, _Ticket] = {}
        self._choices: list[_Ticket] = []
        self._drafts: list[_Ticket] = []
        self._batch: DecodingBatch = DecodingBatch(model, self._end_ids(), self._decode)

    def collect(self, tickets: queue.SimpleQueue[_Ticket | None]) -> bool:
        """Take in what has been asked, waiting for it only if there is nothing to do. False means closed."""
        idle = not (self._batch.rows or self._drafts or self._choices)
        timeout: float | None = None
        while True:
            try:
                ticket = tickets.get(timeout=timeout) if idle else tickets.get_nowait()
            except queue.Empty:
                return True
            if ticket is None:
                return False
            self._open[id(ticket)] = ticket
            (self._choices if isinstance(ticket.request, ChoiceRequest) else self._drafts).append(ticket)
            timeout = _GATHER_S

    def work(self) -> None:
        """Score one batch of choices, admit rows where there is room, and decode one step."""
        if self._choices:
            self._score()
        if self._drafts and self._should_admit():
            self._admit()
        if self._batch.rows:
            for row in self._batch.step():
                self._resolve(row.ticket, self._generation(row))

    def unanswered(self) -> list[_Ticket]:
        """Return all tickets whose askers still wait, wherever a failure found them."""
        return list(self._open.values())

    def _resolve(self, ticket: _Ticket, result: Generation | ChoiceScores) -> None:
        ticket.resolve(result)
        del self._open[id(ticket)]

    def _should_admit(self) -> bool:
        """Joining copies the cache, so it waits until several can join or the batch has half run dry."""
        busy = len(self._batch.rows)
        several = max(1, self._limits.max_batch // 4)
        free = self._limits.max_batch - busy
        return (
            self._batch.can_join
            and free > 0
            and (len(self._drafts) >= several or 2 * busy <= self._limits.max_batch)
        )

    def _admit(self) -> None:
        from engines.decoding import Row

        reserved = [row.most_tokens for row in self._batch.rows]
        room = self._limits.max_batch - len(reserved)
        tickets = _similar(self._drafts, room)
        rows: list[Row] = []
        for ticket in tickets:
            assert isinstance(ticket.request, GenerationRequest)
            sampling = ticket.request.sampling
            sampling = sampling.model_copy(update={"stop": sampling.stop + self._base_stops})
            row = Row(ticket.ids, sampling, ticket.request.seed, ticket)
            widest = max([row.most_tokens, *reserved])
            if widest * (len(reserved) + 1) > self._limits.max_batch_tokens and reserved:
                break
            reserved.append(row.most_tokens)
            rows.append(row)
            self._drafts.remove(ticket)
        if rows:
            self._batch.admit(rows)

    def _score(self) -> None:
        from engines.decoding import next_token_logprobs

        longest = max(len(ticket.ids) for ticket in self._choices)
        count = max(1, min(self._limits.max_batch, self._limits.max_batch_tokens // longest))
        tickets = _similar(self._choices, count)
        logprobs = next_token_logprobs(self._model, [ticket.ids for ticket in tickets])
        tops = logprobs.argmax(dim=-1).tolist()
        for ticket, row, top in zip(tickets, logprobs, tops, strict=True):
            chosen = row[list(ticket.choice_ids)]
            self._choices.remove(ticket)
            scores = ChoiceScores(
                logprobs=tuple(chosen.tolist()),
                answer_mass=min(1.0, float(chosen.exp().sum())),
                top_token=self._tokenizer.decode([top]),
                prompt_tokens=len(ticket.ids),
                model=self._name,
            )
            self._resolve(ticket, scores)

    def _generation(self, row: Row) -> Generation:
        request = row.ticket.request
        text = self._decode(row.tokens)
        for stop in row.sampling.stop:
            text = text.partition(stop)[0]
        answer, reasoning = split_reasoning(text, opened=self._template_thinks)
        assert row.finish_reason is not None
        return Generation(
            text=answer,
            reasoning=reasoning,
            finish_reason=row.finish_reason,
            prompt_tokens=len(row.prompt),
            completion_tokens=len(row.tokens),
            model=self._name,
            sampling=request.sampling,
            seed=request.seed if request.sampling.temperature > 0 else None,
        )

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def _end_ids(self) -> frozenset[int]:
        generation: Any = self._model.generation_config
        declared = generation.eos_token_id
        ids = declared if isinstance(declared, list) else [declared]
        # Special tokens are left out of decoded text, so a stop string that is one must be known by its id.
        added = self._tokenizer.get_added_vocab()
        stops = [added.get(stop) for stop in self._base_stops]
        return frozenset(i for i in [*ids, self._tokenizer.eos_token_id, *stops] if i is not None)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _similar(tickets: list[_Ticket], count: int) -> list[_Ticket]:
    """Return up to `count` tickets whose prompts are nearest in length to the one that waited longest."""
    oldest = len(tickets[0].ids)
    nearest = sorted(tickets, key=lambda ticket: abs(len(ticket.ids) - oldest))[:count]
    return sorted(nearest, key=lambda ticket: len(ticket.ids))
