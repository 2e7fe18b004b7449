"""Distributed training with `accelerate launch`: rank, barrier, reduction and sharing of rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from core.errors import ConfigError
from core.lazy import require

_LAUNCHED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed (ZeRO)",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "tensor, context or sharded parallelism",
}
"""Variables by which `accelerate launch` asks for what it read from its configuration or its options."""
_COMPILER = "ACCELERATE_DYNAMO_BACKEND"


def world_size() -> int:
    """Return the number of processes that train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the rank of this process, counted from 0."""
    return int(os.environ.get("RANK", "0"))


def require_data_parallel() -> None:
    """Raise ConfigError if a launcher asks for anything but data parallelism: one whole model per process.

    Losses read the output head's weights and packed rows bypass the head, which needs them unsharded.
    """
    asked = [
        f"{what} ({name}={os.environ[name]})"
        for name, what in _LAUNCHED.items()
        if os.environ.get(name, "").lower() in ("1", "true", "yes", "on")
    ]
    compiler = os.environ.get(_COMPILER, "no")
    if compiler.lower() not in ("", "no"):
        asked.append(f"torch.compile ({_COMPILER}={compiler})")
    if asked:
        raise whole_models_only(asked, "accelerate launch")


def whole_models_only(asked: Sequence[str], where: str) -> ConfigError:
    """Return the error about a launch that shards or compiles models.

    Args:
        asked: what it asks for.
        where: the launcher, or its configuration.
    """
    return ConfigError(
        f"the launcher asks for {' and '.join(asked)}, but each process trains a whole model",
        where=where,
        accepted="data parallelism: --launch all-gpus, or accelerate launch --multi_gpu --num_processes N "
        "(without --use_fsdp, --use_deepspeed or a configuration file that sets them); for a model that does "
        "not fit one GPU, models.policy.quantization=nf4 and optim.gradient_checkpointing=true",
    )


def is_main() -> bool:
    """Return True in the process that writes files and prints (rank 0)."""
    return rank() == 0


def wait_for_all() -> None:
    """Block until all processes have reached this point.

    accelerate's `wait_for_everyone` is not used: it does nothing if `--multi_gpu` started processes on CPUs.
    """
    if world_size() > 1:
        state()  # initialises torch.distributed
        require("torch.distributed", "train").barrier()


def state() -> Any:
    """Return accelerate's state of the processes; the first call initialises torch.distributed."""
    accelerate = require("accelerate", "train")
    return accelerate.PartialState()


def summed(values: Any) -> Any:
    """Sum a tensor over all processes in place, and return it."""
    if world_size() > 1:
        state()
        require("torch.distributed", "train").all_reduce(values)
    return values


def gathered(own: list[Any]) -> list[Any]:
    """Return the rows of all processes in their original order, before `process_rows`."""
    if world_size() == 1:
        return own
    state()
    shares: list[Any] = [None] * world_size()
    require("torch.distributed", "train").all_gather_object(shares, own)
    # The inverse of `process_rows`: the first row of each process, then the second of each, and so on.
    longest = max(map(len, shares))
    return [share[turn] for turn in range(longest) for share in shares if turn < len(share)]


def process_rows(rows: Sequence[Any]) -> list[Any]:
    """Return this process's rows; rows are distributed one by one in turn."""
    return list(rows[rank() :: world_size()])
