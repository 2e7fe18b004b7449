"""The vLLM engine: one model in a host process of its own, which batches all requests.

This process encodes requests and decodes answers exactly as the transformers engine does, and never imports
vLLM. The first request that runs starts the host (`engines/vllm/host.py`); loading takes up to a minute. The
host ends with `close`, and also whenever this process ends, for any reason (`engines/vllm/link.py`).
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue

from core.records import Generation, Sampling
from engines.answers import AnswerReader
from engines.config import EngineConfig, ModelConfig
from engines.loading import pick_dtype
from engines.local_engine import LocalEngine
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest
from engines.vllm.link import HostLink
from engines.vllm.setup import (
    HOST_COMMAND,
    host_environment,
    host_load,
    require_unquantized,
    require_vllm,
)
from engines.vllm.wire import Response


class VllmEngine(LocalEngine):
    """Generates and scores with one Hugging Face model in vLLM.

    Args:
        model: the model.
        engine: device, memory and the maximum length of requests.
    """

    kind = "vllm"
    decoding = 1
    limits = "the model's context or engine.max_model_len"

    def __init__(self, model: ModelConfig, engine: EngineConfig) -> None:
        super().__init__(model, engine)
        require_unquantized(self._files)
        self._link: HostLink | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Shut down the host process and wait until all its processes are gone. Safe to call twice."""
        # The lock is held only for the swap: closing may take seconds.
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()

    async def _generate(self, request: GenerationRequest, ids: tuple[int, ...]) -> Generation:
        reader = self._reader
        stops = reader.stops(request.sampling)
        sampling = sampling_fields(request.sampling, request.seed, stops, reader.end_ids)
        answer = await self._ask(ids, sampling)
        return reader.read(request, len(ids), answer.token_ids, answer.finish_reason)

    async def _choose(
        self, request: ChoiceRequest, ids: tuple[int, ...], choice_ids: tuple[int, ...]
    ) -> ChoiceScores:
        # Greedy: the one drawn token is then the most likely one.
        sampling = sampling_fields(Sampling(temperature=0.0, max_new_tokens=1))
        answer = await self._ask(ids, sampling, choice_ids)
        return ChoiceScores(
            logprobs=answer.logprobs,
            answer_mass=min(1.0, sum(math.exp(logprob) for logprob in answer.logprobs)),
            top_token=self._tokenizer.decode([answer.token_ids[0]]),
            prompt_tokens=len(ids),
            model=self.model,
        )

    @cached_property
    def _device(self) -> Literal["cpu", "cuda"]:
        return require_vllm(self._engine.device)

    @cached_property
    def _dtype(self) -> str:
        return pick_dtype(self._config.dtype, self._device)

    @property
    def _max_tokens(self) -> int:
        return min(self._context, self._engine.max_model_len or self._context)

    @property
    def _tokenizer(self) -> Any:
        return self.encoder.tokenizer

    @cached_property
    def _reader(self) -> AnswerReader:
        return AnswerReader(self._tokenizer, self.encoder, declared_ends(self._files.folder), self.model)

    async def _ask(
        self, ids: tuple[int, ...], sampling: dict[str, JsonValue], choice_ids: tuple[int, ...] = ()
    ) -> Response:
        future = self._opened_link().ask(ids, sampling, choice_ids)
        return await asyncio.wrap_future(future)

    def _opened_link(self) -> HostLink:
        with self._lock:
            if self._link is None:
                load = host_load(self._files, self._dtype, self._device, self._engine, self._max_tokens)
                self._link = HostLink(HOST_COMMAND, load, self.model, host_environment())
            return self._link


def sampling_fields(
    sampling: Sampling, seed: int = 0, stops: tuple[str, ...] = (), end_ids: frozenset[int] = frozenset()
) -> dict[str, JsonValue]:
    """Return all fields of vLLM's sampling parameters that affect an answer, so vLLM's defaults never apply.

    Args:
        sampling: sampling settings.
        seed: counts only when sampling.
        stops: strings that end the answer.
        end_ids: the only tokens that end the answer; the end tokens that vLLM finds itself are ignored.
    """
    return {
        "n": 1,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": 0.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "repetition_penalty": 1.0,
        "seed": seed if sampling.temperature > 0 else None,
        "max_tokens": sampling.max_new_tokens,
        "min_tokens": 0,
        "stop": list(stops),
        "stop_token_ids": [*sorted(end_ids)],
        "ignore_eos": True,  # `stop_token_ids` has all of them
        "detokenize": bool(stops),  # vLLM needs text only to find stop strings; tokens are decoded here
        "skip_special_tokens": True,
    }


def declared_ends(folder: Path) -> list[int | None]:
    """Return the end-of-text token ids in the model's files, read in the same order as by transformers."""
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        if path.is_file():
            ends = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
            if ends is not None:
                return ends if isinstance(ends, list) else [ends]
    return []
