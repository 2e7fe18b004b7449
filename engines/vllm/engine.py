"""The vLLM engine: a model in a host process, which batches all requests.

This process encodes requests and decodes answers exactly as the transformers engine does, and never imports
vLLM. The first request that runs starts the host (`engines/vllm/host.py`); loading takes up to a minute. The
host ends with `close`, and also whenever this process ends, for any reason (`engines/vllm/link.py`).

Engines of one model that differ in the adapter share a host: each request names its adapter
(`engines/vllm/shared_host.py`). With `engine.replicas` there are several hosts (`engines/vllm/replicas.py`).
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue

from core.notices import note
from core.records import Generation, Sampling
from engines.answers import AnswerReader
from engines.arguments.rules import answer_arguments
from engines.config import EngineConfig, ModelConfig
from engines.loading import UNKNOWN_CONTEXT, pick_dtype
from engines.local_engine import LocalEngine
from engines.protocols import ChoiceRequest, ChoiceScores, GenerationRequest, require_finite
from engines.vllm.replicas import AnswersRequests
from engines.vllm.setup import (
    attachable_rank,
    host_load,
    require_arguments,
    require_unquantized,
    require_vllm,
)
from engines.vllm.shared_host import SharedHost
from engines.vllm.wire import Adapter, Load, Response


class VllmEngine(LocalEngine):
    """Generates and scores with one Hugging Face model in vLLM.

    Args:
        model: the model.
        engine: device, memory, the maximum length of requests and vLLM's own arguments.
    """

    kind = "vllm"
    decoding = 1
    limits = "the model's context or engine.max_model_len"

    def __init__(self, model: ModelConfig, engine: EngineConfig) -> None:
        super().__init__(model, engine)
        require_unquantized(model.quantization, model.id)
        self._host = SharedHost()
        self._fitted = UNKNOWN_CONTEXT
        """Maximum number of tokens in a request that fits into vLLM's KV cache, once it is loaded."""
        self._measured: AnswersRequests | None = None
        """Host that found this maximum; another one may find more or less memory."""
        self._joined(self._host)

    def join(self, other: object) -> bool:
        """Share the host of another engine if it can run this model too; return True if it can.

        Call it before the first request.
        """
        if not isinstance(other, VllmEngine) or other._weights != self._weights:
            return False
        return self._joined(other._host)

    def shares_model_with(self, other: object) -> bool:
        """Return True if another engine has the same host."""
        return isinstance(other, VllmEngine) and other._host is self._host

    @property
    def progress(self) -> int | None:
        """A number that changes while the model draws tokens; None while it is loading."""
        return self._host.progress

    @property
    def drawn_tokens(self) -> int:
        """Number of tokens that the host has drawn, for all engines that share it, as it last reported."""
        return self._host.progress or 0

    def close(self) -> None:
        """Release the host. With its last engine it ends, and all its processes. Safe to call twice."""
        self._host.release(self)
        # The next host may have another share of the memory.
        self._fitted, self._measured, self.limits = UNKNOWN_CONTEXT, None, type(self).limits

    async def _generate(self, request: GenerationRequest, ids: tuple[int, ...]) -> Generation:
        reader = self._reader
        stops = reader.stops(request.sampling)
        sampling = sampling_fields(request.sampling, request.seed, stops, reader.end_ids)
        answer = await self._ask(ids, sampling, affinity=request.affinity)
        return reader.read(request, len(ids), answer.token_ids, answer.finish_reason)

    async def _choose(
        self, request: ChoiceRequest, ids: tuple[int, ...], choice_ids: tuple[int, ...]
    ) -> ChoiceScores:
        # Greedy: the one drawn token is then the most likely one.
        sampling = sampling_fields(Sampling(temperature=0.0, max_new_tokens=1))
        answer = await self._ask(ids, sampling, choice_ids, request.affinity)
        require_finite(answer.logprobs)
        names = dict(zip(choice_ids, request.choices, strict=True))
        return ChoiceScores(
            logprobs=answer.logprobs,
            answer_mass=min(1.0, sum(math.exp(logprob) for logprob in answer.logprobs)),
            top_token=names.get(answer.token_ids[0]) or self._tokenizer.decode([answer.token_ids[0]]),
            prompt_tokens=len(ids),
            model=self.model,
        )

    @cached_property
    def _device(self) -> Literal["cpu", "cuda"]:
        return require_vllm(self._engine.device)

    @cached_property
    def _dtype(self) -> str:
        return pick_dtype(self._config.dtype, self._device)

    @cached_property
    def _variant(self) -> tuple[object, ...]:
        require_arguments(self._engine.arguments, "engine.arguments")
        changing = answer_arguments(self._engine.arguments)
        return (changing,) if changing else ()

    @property
    def _max_tokens(self) -> int:
        # Overrides may change the context: then only vLLM knows it.
        context = UNKNOWN_CONTEXT if "hf_overrides" in self._engine.arguments else self._context
        return min(context, self._engine.max_model_len or context, self._fitted)

    @property
    def _tokenizer(self) -> Any:
        return self.encoder.tokenizer

    @cached_property
    def _reader(self) -> AnswerReader:
        return AnswerReader(self._tokenizer, self.encoder, declared_ends(self._files.folder), self.model)

    async def _ask(
        self,
        ids: tuple[int, ...],
        sampling: dict[str, JsonValue],
        choice_ids: tuple[int, ...] = (),
        affinity: str | None = None,
    ) -> Response:
        adapter = self._adapter
        link = self._host.link_for(self, self._files.base_name, self._load, self._engine)
        if link is not self._measured:
            self._fit(link, await asyncio.wrap_future(link.max_tokens))
        # vLLM would not refuse this request: it would cut its answer off where the KV cache ends.
        new_tokens = sampling["max_tokens"]
        assert isinstance(new_tokens, int)
        self._require_context(len(ids) + new_tokens)
        asked = link.ask(ids, sampling, choice_ids, adapter=adapter, affinity=affinity)
        return await asyncio.wrap_future(asked)

    def _fit(self, link: AnswersRequests, max_tokens: int) -> None:
        """Take over the maximum length that vLLM has found, and report it if the KV cache is the limit."""
        if link is self._measured:  # another request has waited for it too
            return
        self._measured, self._fitted = link, UNKNOWN_CONTEXT
        if max_tokens < self._max_tokens < UNKNOWN_CONTEXT:
            self.limits = "vLLM's KV cache (engine.kv_cache_gib, engine.gpu_memory_utilization)"
            note(
                f"{self.model}: vLLM's KV cache limits a prompt and its answer to {max_tokens:,} tokens; "
                f"the model could take {self._max_tokens:,}"
            )
        self._fitted = max_tokens

    def _load(self, adapters: Sequence[Path], engine: EngineConfig) -> Load:
        self._fitted = UNKNOWN_CONTEXT  # the new host measures again
        return host_load(self._files, self._dtype, self._device, engine, self._max_tokens, adapters)

    @cached_property
    def _adapter(self) -> Adapter | None:
        """The adapter of all requests. Raises EngineError if vLLM cannot attach it."""
        folder = self._files.adapter
        if folder is None:
            return None
        attachable_rank(folder)
        return Adapter(name=f"{folder.name}-{self._files.identity}", folder=str(folder))

    @property
    def _weights(self) -> tuple[ModelConfig, EngineConfig]:
        """Everything that the host loads and runs with, except adapters."""
        return self._config.model_copy(update={"adapter": None, "chat_template_kwargs": {}}), self._engine

    def _joined(self, host: SharedHost) -> bool:
        """Use a host if it has room for the adapter."""
        adapter = self._config.adapter
        if adapter is not None and not host.admit(Path(adapter).expanduser().resolve()):
            return False
        self._host = host
        return True


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
