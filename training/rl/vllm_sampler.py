"""Answers drawn by vLLM, in a process of its own that is kept in step with the policy.

What is trained is a LoRA adapter, and that alone is handed over: `update` writes it into a new folder, and
vLLM wears it from then on under a number, name and path of its own, by which it also tells prefixes that it
keeps apart: none that an older policy has computed is ever met again. Full weights are not handed over; that
would be vLLM's weight transfer, which trainings of ours have no use for.

vLLM rounds otherwise than the trainer, and wears the adapter in the model's weight type where the trainer may
hold it in a wider one: log-probabilities are the sampler's own, so that the trainer can make up for the gap
(`ppo.sampler_cap`) and logs it as `sampling/*`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from core.errors import EngineError, RequestError
from core.lazy import require
from core.records import Sampling
from core.store.files import os_errors
from engines.answers import AnswerReader
from engines.config import EngineConfig, ModelConfig
from engines.loading import locate, pick_dtype
from engines.vllm.engine import sampling_fields
from engines.vllm.link import HostLink
from engines.vllm.setup import HOST_COMMAND, host_environment, require_vllm, rollout_load
from engines.vllm.wire import Adapter, Response
from training.job import base_name
from training.policy import TRAIN_EXTRA, save_adapter
from training.processes import world_size
from training.rl.rollouts import Drawn


class VllmSampler:
    """Draws answers in vLLM with the policy's adapter as it was at the last `update`.

    The first `update` starts the process, whose loading takes up to a minute. It ends with `close`, and with
    this process however that ends (`engines/vllm/link.py`). Where several processes train, each has its own.

    Args:
        policy: a peft model; its adapter `default` is what is sampled with.
        reader: knows what ends an answer.
        sampling: how tokens are drawn.
        model: the policy's model, without an adapter.
        engine: memory, answers at once, longest request (`max_model_len`); the device is the policy's.
        folder: adapters are written there; what this sampler wrote goes with `close`.

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
    ) -> None:
        device = require_vllm(policy.device.type)
        files = locate(model)
        if files.adapter is not None:
            raise EngineError("vLLM wears one adapter at a time, and the policy has two", where=files.name)
        self._policy, self._reader, self._sampling = policy, reader, sampling
        self._base, self._name, self._folder = base_name(model), files.name, folder
        lora = policy.peft_config["default"].to_dict()
        self._load = rollout_load(files, pick_dtype(model.dtype, device), device, engine, lora)
        self._link: HostLink | None = None
        self._adapters: Path | None = None
        self._number = 0

    @property
    def is_exact(self) -> bool:
        """No: vLLM has an arithmetic of its own."""
        return False

    def sample(self, prompts: Sequence[tuple[int, ...]], seeds: Sequence[int]) -> list[Drawn]:
        """Return an answer to each prompt, in their order.

        Raises:
            EngineError: if vLLM refuses a prompt, or has come to an end.
        """
        assert self._link is not None, "update comes first"
        stops, ends = self._reader.stops(self._sampling), self._reader.end_ids
        futures: list[Future[Response]] = []
        try:
            for ids, seed in zip(prompts, seeds, strict=True):
                fields = sampling_fields(self._sampling, seed, stops, ends)
                futures.append(self._link.ask(ids, fields, wants_logprobs=True))
            return [_drawn(future.result()) for future in futures]
        except RequestError as error:
            raise EngineError(str(error), where=self._name) from error
        finally:
            for future in futures:  # where one fails, nobody waits for the others
                future.cancel()

    def update(self) -> None:
        """Hand the policy's adapter over as it is now, and return when answers will be drawn with it.

        Raises:
            EngineError: if vLLM cannot load the model or the adapter.
            RunStateError: if the disk is full or the folder not writable.
        """
        with os_errors(self._folder):
            if self._adapters is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._adapters = Path(tempfile.mkdtemp(prefix="sampler-", dir=self._folder))
            self._number += 1
            folder = self._adapters / f"{self._number}"
            folder.mkdir()
        save_adapter(self._policy, folder, self._base)
        if self._link is None:
            environment = host_environment() | _alone()
            self._link = HostLink(HOST_COMMAND, self._load, self._name, environment)
        self._link.attach(Adapter(name=f"policy-{self._number}", folder=str(folder))).result()
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


def _alone() -> dict[str, str]:
    """Return variables that keep vLLM out of a training of several processes, on this process's GPU.

    torch would else take it for one of them, and wait for the others.
    """
    if world_size() == 1:
        return {}
    place = {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "LOCAL_WORLD_SIZE": "1",
        "TORCHELASTIC_USE_AGENT_STORE": "False",
    }
    cuda: Any = require("torch", TRAIN_EXTRA).cuda
    if cuda.is_available():
        number, seen = cuda.current_device(), os.environ.get("CUDA_VISIBLE_DEVICES")
        place["CUDA_VISIBLE_DEVICES"] = seen.split(",")[number] if seen else f"{number}"
    return place
