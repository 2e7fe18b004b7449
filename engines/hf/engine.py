"""The transformers engine: one model on one torch thread that serves any number of asynchronous tasks.

Tasks encode their own requests and wait. The thread collects waiting requests into batches of similar length,
scores single-token answers in one forward pass, and decodes the others together: a row leaves the batch when
it is finished, and waiting rows join when there are free slots (`engines/hf/decoding.py`).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

from core.errors import EngineError, PubliusError, type_and_first_line
from core.libraries import is_out_of_memory, out_of_memory
from core.records import Generation
from engines.config import EngineConfig, ModelConfig
from engines.hf.loading import load_model
from engines.hf.worker import Ticket, TorchWorker
from engines.local_engine import LocalEngine
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest


class TransformersEngine(LocalEngine):
    """Generates and scores with one Hugging Face model in this process.

    Args:
        model: the model.
        engine: batch sizes and device.
    """

    kind = "transformers"
    decoding = 1
    limits = "the model's context or engine.max_batch_tokens"

    def __init__(self, model: ModelConfig, engine: EngineConfig) -> None:
        super().__init__(model, engine)
        self._queue: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failure: PubliusError | None = None

    def close(self) -> None:
        """Stop the thread after the current step and free the model. Safe to call twice."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    @property
    def _max_tokens(self) -> int:
        return min(self._context, self._engine.max_batch_tokens)

    async def _generate(self, request: GenerationRequest, ids: tuple[int, ...]) -> Generation:
        answer: Generation = await self._ask(request, ids, ())
        return answer

    async def _choose(
        self, request: ChoiceRequest, ids: tuple[int, ...], choice_ids: tuple[int, ...]
    ) -> ChoiceScores:
        scores: ChoiceScores = await self._ask(request, ids, choice_ids)
        return scores

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
        if self._failure is not None:  # the thread may have failed and emptied the queue just before the put
            ticket.resolve(self._failure)
        return await ticket.future

    def _serve(self) -> None:
        """Answer tickets until closed. Any failure is passed to all tasks that wait."""
        from engines.hf.self_check import require_batched_decoding

        worker: TorchWorker | None = None
        try:
            # Loaded here and not in the constructor: the event loop stays responsive meanwhile.
            own = self._engine
            model = load_model(self._files, self._dtype, own.device, device_map=own.device_map)
            require_batched_decoding(model, self.model)
            worker = TorchWorker(model, self.encoder.tokenizer, self.encoder, self._engine, self.model)
            while worker.collect(self._queue):
                worker.work()
            self._reject(EngineError("the engine was closed before it answered", where=self.model), worker)
        except PubliusError as error:
            self._fail(error, worker)
        except Exception as error:  # noqa: BLE001  tasks wait in another thread and would wait forever
            self._fail(self._as_problem(error), worker)

    def _as_problem(self, error: Exception) -> EngineError:
        if not is_out_of_memory(error):
            return EngineError(type_and_first_line(error), where=self.model)
        batch, tokens = self._engine.max_batch, self._engine.max_batch_tokens
        smaller = f"a smaller engine.max_batch (now {batch}) or engine.max_batch_tokens (now {tokens})"
        return out_of_memory(error, "inference", self.model, smaller)

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
