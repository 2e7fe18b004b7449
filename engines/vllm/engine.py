"""The vLLM engine: one model in a host process of its own, which batches whatever is asked of it.

This process encodes the requests and reads the answers, exactly as for the transformers engine, and never
imports vLLM. The host (`engines/vllm/host.py`) is started upon the first request that runs; loading takes
up to a minute. It ends with `close`, and with this process however that ends (`engines/vllm/link.py`).
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
from engines.vllm.setup import HOST_COMMAND, host_environment, host_load, require_vllm
from engines.vllm.wire import Response


class VllmEngine(LocalEngine):
    """Generates and scores with one Hugging Face model in vLLM.

    Args:
        model: which model.
        engine: device, memory and the longest request.
    """

    kind = "vllm"
    decoding = 1
    limits = "the model's context or engine.max_model_len"

    def __init__(self, model: ModelConfig, engine: EngineConfig) -> None:
        super().__init__(model, engine)
        self._link: HostLink | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Shut the host process down and see that nothing of it is left. Safe to call twice."""
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
        # Greedy, so that the one token that is drawn is the most likely one.
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
    def _most_tokens(self) -> int:
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
                load = host_load(self._files, self._dtype, self._device, self._engine, self._most_tokens)
                self._link = HostLink(HOST_COMMAND, load, self.model, host_environment())
            return self._link


def sampling_fields(
    sampling: Sampling, seed: int = 0, stops: tuple[str, ...] = (), end_ids: frozenset[int] = frozenset()
) -> dict[str, JsonValue]:
    """Return every field of vLLM's sampling record that bears on an answer; its own defaults decide nothing.

    Args:
        sampling: how tokens are drawn.
        seed: counts only when sampling.
        stops: texts that end the answer.
        end_ids: tokens that end the answer, and the only ones that do: vLLM's own idea of them is ignored.
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
        "ignore_eos": True,
        "detokenize": bool(stops),
        "skip_special_tokens": True,
    }


def declared_ends(folder: Path) -> list[int | None]:
    """Return the ids that the model's files name as ends of a text, as transformers understands them."""
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        if path.is_file():
            ends = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
            if ends is not None:
                return ends if isinstance(ends, list) else [ends]
    return []
