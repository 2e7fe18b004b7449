"""Rollouts by vLLM, in its own process, with the current policy.

Training changes a LoRA adapter, and only the adapter is transferred: `update` writes it to a new folder, and
vLLM attaches it under a new number, name and path. vLLM's prefix cache depends on these, so it never reuses a
prefix that an older policy computed. Full weights are not transferred; training never changes them.

vLLM rounds differently from the trainer, and uses the adapter in the model's weight type where the trainer
may have it in a wider one. The log-probabilities are vLLM's own; the trainer corrects for the gap
(`ppo.sampler_cap`) and logs it as `sampling/*`.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

from core.errors import EngineError, RequestError
from core.records import Sampling
from core.store.files import os_errors
from engines.answers import AnswerReader
from engines.config import EngineConfig, ModelConfig
from engines.loading import locate, pick_dtype
from engines.vllm.engine import sampling_fields
from engines.vllm.link import HostLink
from engines.vllm.server import ServerLink
from engines.vllm.setup import HOST_COMMAND, host_environment, require_vllm, rollout_load
from engines.vllm.wire import Adapter, Response
from training.job import base_name
from training.policy import save_adapter
from training.rl.rollouts import Drawn, require_drawn

_LOOK_S = 5.0
"""Seconds between two looks whether vLLM is still working."""


class VllmSampler:
    """Sampler of answers in vLLM, with the policy's adapter as of the last `update`.

    The first `update` starts the process, which takes up to a minute to load. It ends with `close`, and with
    this process, however that ends (`engines/vllm/link.py`). Each of several training processes has its own.

    Args:
        policy: a peft model; its adapter `default` is the one sampled from.
        reader: recognises the end of an answer.
        sampling: temperature and length.
        model: the policy's model, without an adapter.
        engine: memory, GPUs, concurrent answers, longest request (`max_model_len`), vLLM's own arguments; the
            device is the policy's.
        folder: adapters are written there; `close` removes them.
        engines: vLLM engines that have yet to start beside the trainer, this one included; they share the
            free memory.
        server: opens the link to a server that samples in place of a process of this one.

    Raises:
        EngineError: if the installed vLLM is built for another device, or the adapter's rank is too large.
        MissingExtraError: if vLLM is not installed.
    """

    def __init__(
        self,
        policy: Any,
        reader: AnswerReader,
        sampling: Sampling,
        model: ModelConfig,
        engine: EngineConfig,
        folder: Path,
        engines: int = 1,
        server: Callable[..., ServerLink] | None = None,
    ) -> None:
        files = locate(model)
        if files.adapter is not None:
            problem = "vLLM attaches one adapter at a time, and the policy has two"
            raise EngineError(
                problem, where=files.name, accepted="a model without an adapter, such as the merged one"
            )
        self._policy, self._reader, self._sampling = policy, reader, sampling
        self._base, self._name, self._folder = base_name(model), files.name, folder
        lora = policy.peft_config["default"].to_dict()
        self._engine = engine
        if server is None:
            device = require_vllm(policy.device.type)
            load = rollout_load(files, pick_dtype(model.dtype, device), device, engine, lora, engines)
            self._open: Callable[[], HostLink | ServerLink] = lambda: HostLink(
                HOST_COMMAND, load, files.name, host_environment(engine)
            )
        else:
            limit_s = engine.request_timeout_s
            self._open = lambda: server(files.name, together=engine.max_batch, limit_s=limit_s)
        self._link: HostLink | ServerLink | None = None
        self._adapters: Path | None = None
        self._number = 0

    @property
    def is_exact(self) -> bool:
        """False: vLLM rounds differently."""
        return False

    def sample(self, prompts: Sequence[tuple[int, ...]], seeds: Sequence[int]) -> list[Drawn]:
        """Return an answer to each prompt, in order.

        Raises:
            EngineError: if vLLM refuses a prompt, draws no token for an hour (the default of
                `engine.request_timeout_s`), or its process has ended.
        """
        assert self._link is not None, "update comes first"
        stops, ends = self._reader.stops(self._sampling), self._reader.end_ids
        futures: list[Future[Response]] = []
        try:
            for ids, seed in zip(prompts, seeds, strict=True):
                fields = sampling_fields(self._sampling, seed, stops, ends)
                futures.append(self._link.ask(ids, fields, wants_logprobs=True))
            answers = self._answers(self._link, futures)
            require_drawn(all(math.isfinite(p) for answer in answers for p in answer.drawn_logprobs))
            return [_drawn(answer) for answer in answers]
        except RequestError as error:
            raise EngineError(str(error), where=self._name) from error
        finally:
            for future in futures:  # if one fails, nothing waits for the others
                future.cancel()

    def _answers(self, link: HostLink | ServerLink, futures: Sequence[Future[Response]]) -> list[Response]:
        """Return the answers, unless vLLM neither answers nor draws a token for too long."""
        limit_s = self._engine.request_timeout_s
        seen, moved_at = (-1, -1), time.monotonic()
        while wait(futures, timeout=_LOOK_S).not_done:
            now = time.monotonic()
            state = (sum(future.done() for future in futures), link.progress)
            if state != seen:
                seen, moved_at = state, now
            elif limit_s is not None and now - moved_at >= limit_s:
                raise EngineError(
                    f"vLLM has drawn no token for {limit_s:g} s; the last checkpoint is intact",
                    where=self._name,
                    accepted="the same command, which resumes from it",
                )
        return [future.result() for future in futures]

    def update(self) -> None:
        """Transfer the policy's current adapter; return when vLLM has attached it.

        Raises:
            EngineError: if vLLM cannot load the model or the adapter.
            RunStateError: if the disk is full or the folder not writable.
        """
        with os_errors(self._folder):
            if self._adapters is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._adapters = Path(tempfile.mkdtemp(prefix="sampler-", dir=self._folder))
                self._adapters.chmod(0o755)  # a server may run as another user
            self._number += 1
            folder = self._adapters / f"{self._number}"
            folder.mkdir()
        save_adapter(self._policy, folder, self._base)
        if self._link is None:
            self._link = self._open()
        self._link.attach(Adapter(name=f"policy-{self._number}", folder=str(folder.resolve()))).result()
        shutil.rmtree(self._adapters / f"{self._number - 1}", ignore_errors=True)

    def close(self) -> None:
        """End vLLM's processes and remove the adapter's files. Safe to call twice."""
        link, self._link = self._link, None
        if link is not None:
            link.close()
        adapters, self._adapters = self._adapters, None
        if adapters is not None:
            shutil.rmtree(adapters, ignore_errors=True)


def _drawn(answer: Response) -> Drawn:
    return Drawn(answer.token_ids, answer.drawn_logprobs, answer.finish_reason == "stop")
