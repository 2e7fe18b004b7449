"""The transformers engine: one model on one torch thread that serves any number of asynchronous tasks.

Tasks encode their own requests and wait. The thread collects waiting requests into batches of similar length,
scores single-token answers in one forward pass, and decodes the others together: a row leaves the batch when
it is finished, and waiting rows join when there are free slots (`engines/hf/decoding.py`).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.errors import EngineError, PubliusError, type_and_first_line
from core.libraries import is_out_of_memory, out_of_memory
from core.machine import return_free_memory
from core.notices import note, warn
from core.records import Generation
from engines.config import EngineConfig, ModelConfig
from engines.hf.loading import load_model, merges_adapter
from engines.hf.threads import adaptive_threads, thread_control
from engines.hf.worker import Ticket, TicketQueue, TorchWorker
from engines.loading import pick_gpu
from engines.local_engine import LocalEngine
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest, RequestForm

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_CLOSE_S = 60.0
"""Seconds that the step under way may take when the engine is closed."""


class TransformersEngine(LocalEngine):
    """Generates and scores with one Hugging Face model in this process.

    Args:
        model: the model.
        engine: batch sizes and device.
    """

    kind = "transformers"
    decoding = 1
    limits = "the model's context or engine.max_batch_tokens"
    forms: frozenset[RequestForm] = frozenset({"branches", "answers"})

    def __init__(self, model: ModelConfig, engine: EngineConfig) -> None:
        super().__init__(model, engine)
        thread_control()  # on this thread, before the engine's own changes torch's number of threads
        self._queue: TicketQueue = queue.SimpleQueue()
        self._arriving: dict[asyncio.AbstractEventLoop, list[Ticket]] = {}
        self._thread: threading.Thread | None = None
        self._failure: PubliusError | None = None
        self._steps: int | None = None
        self.computed_tokens = 0
        """Number of tokens that the model was run on, padding included; checks at load are not counted. Less
        than the tokens of all prompts and answers where prefixes are shared."""
        self.drawn_tokens = 0
        """Number of tokens drawn for answers, those of unfinished answers included."""
        self._remembers = False

    def remember_prompts(self) -> None:
        """Keep keys and values of scored prompts; call it before the first request.

        They share the memory of finished conversations (`engine.prefix_cache_gib`).
        """
        self._remembers = True

    @property
    def progress(self) -> int | None:
        """Number of steps that the torch thread has taken; None while it loads the model."""
        return self._steps

    def close(self) -> None:
        """Stop the thread after the current step and free the model. Safe to call twice.

        A thread whose step does not end is left behind; it ends with the process.
        """
        for loop in list(self._arriving):
            self._send(loop)
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(_CLOSE_S)
            if self._thread.is_alive():
                warn(f"{self.model}: the model's step does not end; its thread is left behind")
                self._queue = queue.SimpleQueue()  # the thread still reads the old one
            self._thread, self._steps = None, None
            return_free_memory()

    @property
    def _decoding_version(self) -> int:
        # One higher where an adapter is not merged: it was merged, with other answers, before version 2.
        unmerged = self._files.adapter is not None and not merges_adapter(self._dtype)
        return self.decoding + unmerged

    @property
    def _max_tokens(self) -> int:
        return min(self._context, self._engine.max_batch_tokens)

    async def stream(self, request: GenerationRequest, tell: Callable[[str], None]) -> Generation:
        """Return the model's answer as `generate` does, and call a function with its text so far."""
        answer: Generation = await self._ask(request, self._fitting_ids(request), (), tell)
        return answer

    async def _generate(self, request: GenerationRequest, ids: tuple[int, ...]) -> Generation:
        answer: Generation = await self._ask(request, ids, ())
        return answer

    async def _choose(
        self, request: ChoiceRequest, ids: tuple[int, ...], choice_ids: tuple[int, ...]
    ) -> ChoiceScores:
        scores: ChoiceScores = await self._ask(request, ids, choice_ids)
        return scores

    async def _ask(
        self,
        request: GenerationRequest | ChoiceRequest,
        ids: tuple[int, ...],
        choice_ids: tuple[int, ...],
        tell: Callable[[str], None] | None = None,
    ) -> Any:
        if self._failure is not None:
            raise self._failure
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=f"torch {self.model}", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        in_parts = isinstance(request, ChoiceRequest) and request.form is not None
        parts = self.parts(request) if in_parts and isinstance(request, ChoiceRequest) else None
        ticket = Ticket(request, ids, choice_ids, loop, loop.create_future(), parts, tell)
        # Requests made in one turn of the event loop go to the thread together. So do all questions about one
        # comparison, which then share their prefix however busy the machine is.
        arriving = self._arriving.setdefault(loop, [])
        arriving.append(ticket)
        if len(arriving) == 1:
            loop.call_soon(self._send, loop)
        return await ticket.future

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pass the tickets of an event loop to the thread."""
        tickets = self._arriving.pop(loop, [])  # sent already if the engine was closed in the meantime
        self._queue.put(tickets)
        if self._failure is not None:  # the thread may have failed and emptied the queue just before the put
            for ticket in tickets:
                ticket.resolve(self._failure)

    def _serve(self) -> None:
        """Answer tickets until closed. Any failure is passed to all tasks that wait."""
        from engines.hf.self_check import require_inference
        from engines.hf.weights.packed import should_pack

        worker: TorchWorker | None = None
        tickets = self._queue
        try:
            note(f"loading {self.model} (transformers)")
            place = pick_gpu(self._engine.device, self._engine.gpus)
            with adaptive_threads(place) as adjust_threads:
                # Loaded here and not in the constructor: the event loop stays responsive meanwhile.
                model = load_model(
                    self._files,
                    self._dtype,
                    place,
                    device_map=self._engine.device_map,
                    pack_weights=should_pack(self._engine.pack_weights),
                )
                packs = require_inference(model, self.model)
                self._count_tokens(model)
                worker = TorchWorker(
                    model,
                    self.encoder.tokenizer,
                    self.encoder,
                    self._engine,
                    self.model,
                    packs=packs,
                    remembers=self._remembers,
                )
                self._steps = 0
                while worker.collect(tickets):
                    adjust_threads()
                    self.drawn_tokens += worker.work()
                    if tickets is self._queue:  # else the engine was closed and this thread left behind
                        self._steps = (self._steps or 0) + 1
            error = EngineError("the engine was closed before it answered", where=self.model)
            _reject(error, worker, tickets)
        except PubliusError as error:
            self._fail(error, worker, tickets)
        except Exception as error:  # noqa: BLE001  tasks wait in another thread and would wait forever
            self._fail(self._as_problem(error), worker, tickets)

    def _count_tokens(self, model: PreTrainedModel) -> None:
        def count(module: object, args: object, inputs: dict[str, Any]) -> None:
            self.computed_tokens += inputs["input_ids"].numel()

        model.register_forward_pre_hook(count, with_kwargs=True)

    def _as_problem(self, error: Exception) -> EngineError:
        if not is_out_of_memory(error):
            return EngineError(type_and_first_line(error), where=self.model)
        batch, tokens = self._engine.max_batch, self._engine.max_batch_tokens
        smaller = f"a smaller engine.max_batch (now {batch}) or engine.max_batch_tokens (now {tokens})"
        return out_of_memory(error, "inference", self.model, smaller)

    def _fail(self, error: PubliusError, worker: TorchWorker | None, tickets: TicketQueue) -> None:
        if tickets is self._queue:
            self._failure = error
        _reject(error, worker, tickets)


def _reject(error: PubliusError, worker: TorchWorker | None, tickets: TicketQueue) -> None:
    """Resolve all tickets that have no result with an error."""
    for ticket in worker.unanswered() if worker else []:
        ticket.resolve(error)
    while True:
        try:
            arrived = tickets.get_nowait()
        except queue.Empty:
            return
        for ticket in arrived or ():
            ticket.resolve(error)
