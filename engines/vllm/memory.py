"""The share of a GPU's memory that vLLM takes, alone or beside models that this process trains."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

from core.errors import EngineError

ALONE = 0.9
"""Share of a GPU that holds nothing else."""
RESERVE = 0.25
"""Share of a GPU left to the training on it: activations, gradients and optimizer states come after vLLM has
taken its memory."""
_LEAST = 0.02
_LEFT_OVER = 2**28
"""Bytes that may be left from an earlier stage: so little is no model."""
_GIB = 2**30


def memory_share(gpu: int | None = None, engines: int = 1) -> float:
    """Return the share of the GPU's memory for vLLM, as its `gpu_memory_utilization`.

    It is `ALONE` unless this process holds a model on the GPU. Then models are in training there, and it is
    the free memory less `RESERVE`, divided among the engines that are still to start.

    Args:
        gpu: index of the GPU; None for the current one.
        engines: vLLM engines that have yet to start on this GPU, this one included.

    Raises:
        EngineError: if next to nothing is left, or there is no such GPU.
    """
    torch = sys.modules.get("torch")
    # Setting CUDA up in this process costs half a gigabyte of the GPU, and nothing can be on it before.
    if torch is None or not torch.cuda.is_initialized():
        return ALONE
    if gpu is not None and gpu >= torch.cuda.device_count():
        raise EngineError(
            f"no GPU {gpu}: {torch.cuda.device_count()} found",
            where="models.ROLE.engine.gpus",
            accepted=f"0 to {torch.cuda.device_count() - 1}",
        )
    place = _own_gpu(torch) if gpu is None else gpu
    # Memory of the last stage's models, and what torch keeps for its next tensors, would count as taken.
    gc.collect()
    torch.cuda.empty_cache()
    if torch.cuda.memory_allocated(place) < _LEFT_OVER:
        return ALONE
    free, total = torch.cuda.mem_get_info(place)
    share: float = min(ALONE, (free / total - RESERVE) / engines)
    if share < _LEAST:
        raise EngineError(
            f"no memory for vLLM beside the models in training: {free / _GIB:.1f} of {total / _GIB:.1f} GiB "
            f"are free on GPU {place}, and training may need {RESERVE * total / _GIB:.1f} GiB of them",
            where="gpu_memory_utilization",
            accepted="another GPU for a labeler (models.labeler: {id: ID, engine: {gpus: [1]}}), smaller "
            "models, or a share that is set by hand",
        )
    return share


def _own_gpu(torch: Any) -> int:
    """Return the GPU of this process; the current device may be that of a thread other than the trainer's."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return int(os.environ.get("LOCAL_RANK", "0")) % int(torch.cuda.device_count())
    return int(torch.cuda.current_device())
