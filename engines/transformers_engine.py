"""The transformers engine: one model on one torch thread, fed by any number of asynchronous askers.

Askers encode their own requests and wait. The thread gathers what waits into batches of similar length,
scores one-token answers in one forward pass each, and decodes the rest together: a row leaves the batch when
it is done, and waiting rows join when there is room (`engines/decoding.py`).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from functools import cached_property
from typing import Any

from core.digests import digest
from core.errors import EngineError, PubliusError, RequestError
from core.records import Generation
from engines.config import EngineConfig, ModelConfig
from engines.loading import ModelFiles, load_model, load_tokenizer, locate, pick_dtype
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from engines.thinking import require_no_thinking
from engines.tokenization import TurnEncoder
from engines.torch_worker import Ticket, TorchWorker

_DECODING = 1
"""Raised when the engine would answer the same request differently, so that no old answer is re-used."""


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
        self._queue: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
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
                accepted="shorter prompts or a smaller max_new_tokens",
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
        ticket = Ticket(request, ids, choice_ids, loop, loop.create_future())
        self._queue.put(ticket)
        if self._failure is not None:  # the thread may have failed since, and emptied the queue before
            ticket.resolve(self._failure)
        return await ticket.future

    def _serve(self) -> None:
        """Answer tickets until closed. Any failure reaches every asker instead of dying with the thread."""
        worker: TorchWorker | None = None
        try:
            model = load_model(self._files, self._dtype, self._engine.device)
            worker = TorchWorker(model, self._tokenizer, self.encoder, self._engine, self.model)
            while worker.collect(self._queue):
                worker.work()
            self._reject(EngineError("the engine was closed before it answered", where=self.model), worker)
        except PubliusError as error:
            self._fail(error, worker)
        except Exception as error:  # noqa: BLE001  the askers wait in another thread and must hear of it
            self._fail(EngineError(_one_line(error), where=self.model), worker)

    def _fail(self, error: PubliusError, worker: TorchWorker | None) -> None:
        self._failure = error
        self._reject(error, worker)

    def _reject(self, error: PubliusError, worker: TorchWorker | None) -> None:
        for ticket in worker.unanswered() if worker else []:
            ticket.resolve(error)
        while True:
            try:
                ticket_or_end = self._queue.get_nowait()
            except queue.Empty:
                return
            if ticket_or_end is not None:
                ticket_or_end.resolve(error)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
