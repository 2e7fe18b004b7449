"""Host process that runs vLLM: `python -m engines.vllm.host FD PARENT`, started by `engines.vllm.engine`."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import Any

from core.errors import FailedRequestError, RequestError, on_one_line
from core.lazy import require
from engines.vllm.serving import Host
from engines.vllm.wire import Adapter, Ask, Load, Response

_EXTRA = "vllm"


class VllmBackend:
    """vLLM's asynchronous engine with one model. Each request may have a LoRA adapter of its own.

    vLLM identifies an adapter by number within a batch, and by name and folder in its prefix cache.

    Args:
        engine: an `AsyncLLM`.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._loras: dict[str, Any] = {}
        """vLLM's description of each loaded adapter, by name."""
        self._attached: Any = None
        self._last_number = 0
        self._drawn = 0
        self._is_broken = False
        self._loading = asyncio.Lock()
        self._params: Any = require("vllm.sampling_params", _EXTRA)
        self._inputs: Any = require("vllm.inputs", _EXTRA)
        errors: Any = require("vllm.exceptions", _EXTRA)
        self._refusals: tuple[type[Exception], ...] = (errors.VLLMClientError, ValueError)

    @classmethod
    async def load(cls, load: Load) -> VllmBackend:
        """Load the model; return the backend."""
        arguments = require("vllm.engine.arg_utils", _EXTRA).AsyncEngineArgs(**load.arguments)
        usage = set_batch_limits(arguments, load.min_seqs)
        async_llm = require("vllm.v1.engine.async_llm", _EXTRA).AsyncLLM
        return cls(async_llm.from_engine_args(arguments, usage_context=usage))

    @property
    def max_tokens(self) -> int:
        """Maximum number of tokens in a prompt and its answer, which vLLM may lower while loading."""
        return int(self._engine.model_config.max_model_len)

    @property
    def is_broken(self) -> bool:
        """True if vLLM's engine process has ended or failed in a step, or an adapter cannot be loaded."""
        return self._is_broken or bool(self._engine.errored)

    @property
    def tokens(self) -> int:
        """Number of tokens drawn for finished and running requests."""
        states = self._engine.output_processor.request_states.values()
        running = sum(state.detokenizer.num_output_tokens() for state in states if state.detokenizer)
        return self._drawn + int(running)

    async def attach(self, adapter: Adapter) -> None:
        """Load an adapter that replaces the previous one for all later requests that name none."""
        self._attached = await self._loaded(adapter)

    async def answer(self, ask: Ask) -> Response:
        """Return the drawn tokens and the requested log-probabilities."""
        lora = self._attached if ask.adapter is None else await self._loaded(ask.adapter)
        try:
            output = await self._last_output(ask, lora)
        except self._refusals as error:
            raise RequestError("vLLM rejected the request", detail=on_one_line(error)) from error
        reason = output.finish_reason
        if reason not in ("stop", "length"):
            raise FailedRequestError(f"vLLM returned the finish reason {reason!r}")
        logprobs: tuple[float, ...] = ()
        if ask.choice_ids:
            first = output.logprobs[0]
            logprobs = tuple(first[i].logprob for i in ask.choice_ids)
        tokens = tuple(output.token_ids)
        self._drawn += len(tokens)
        drawn: tuple[float, ...] = ()
        if ask.wants_logprobs:
            drawn = tuple(of[token].logprob for token, of in zip(tokens, output.logprobs, strict=True))
        return Response(
            id=ask.id, token_ids=tokens, finish_reason=reason, logprobs=logprobs, drawn_logprobs=drawn
        )

    def close(self) -> None:
        """Shut vLLM's processes down."""
        self._engine.shutdown()

    async def _loaded(self, adapter: Adapter) -> Any:
        """Return vLLM's description of an adapter, which is loaded when it is first asked for."""
        # Loaded before any request uses it: in a request, an adapter that does not fit would end vLLM's
        # engine process without the reason.
        async with self._loading:
            if adapter.name not in self._loras:
                # A number of its own for each adapter: a number that is in use would give the old weights.
                self._last_number += 1
                lora = require("vllm.lora.request", _EXTRA)
                request = lora.LoRARequest(adapter.name, self._last_number, adapter.folder)
                try:
                    await self._engine.add_lora(request)
                except Exception:
                    self._is_broken = True  # all requests with this adapter would fail alike
                    raise
                self._loras[adapter.name] = request
        return self._loras[adapter.name]

    async def _last_output(self, ask: Ask, lora: Any) -> Any:
        sampling = self._params.SamplingParams(
            **ask.sampling,
            logprob_token_ids=list(ask.choice_ids) or None,
            logprobs=0 if ask.wants_logprobs else None,  # 0 means the drawn token only
            output_kind=self._params.RequestOutputKind.FINAL_ONLY,
        )
        prompt = self._inputs.tokens_input(list(ask.prompt_ids))
        answers = self._engine.generate(prompt, sampling, str(ask.id), lora_request=lora)
        outputs = [output async for output in answers]
        return outputs[-1].outputs[0]


def set_batch_limits(arguments: Any, min_seqs: int | None) -> Any:
    """Set the batch limits that are not given, and return the usage context for vLLM's other defaults.

    vLLM's limits depend on the GPU, for example 1,024 requests and 16,384 tokens per step on an H100. But in
    the usage context that an `AsyncLLM` has by default, they are 128 and 2,048 on every GPU.

    Args:
        arguments: an `AsyncEngineArgs`.
        min_seqs: number of requests that must run together at least; None leaves vLLM's defaults.
    """
    contexts = require("vllm.usage.usage_lib", _EXTRA).UsageContext
    if min_seqs is None:
        return contexts.ENGINE_CONTEXT
    if arguments.max_num_seqs is None:
        workers = arguments.pipeline_parallel_size * arguments.tensor_parallel_size
        _, requests = arguments.get_batch_defaults(workers)
        arguments.max_num_seqs = max(min_seqs, requests.get(contexts.LLM_CLASS, 0))
    return contexts.LLM_CLASS


def run_host(descriptor: str, parent: str) -> None:
    """Serve the parent over the inherited socket until it closes the link or exits."""
    host = Host(socket.socket(fileno=int(descriptor)), int(parent), VllmBackend.load)
    asyncio.run(host.run())
    sys.stderr.flush()
    os._exit(0)  # vLLM is shut down already; its modules' exit handlers would only write to the log


if __name__ == "__main__":
    run_host(*sys.argv[1:])
